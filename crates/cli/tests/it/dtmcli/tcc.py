"""TCC, which every version of the client says in the same words, if not on the wire."""

from dtmcli import tcc

from scenario import dtm, run, tell, url


def branch(transaction, amount, answer, name):
    confirm, cancel = url("done", f"{name}-confirm"), url("done", f"{name}-cancel")
    transaction.call_branch({"amount": amount}, url(answer, f"{name}-try"), confirm, cancel)


def transfer(answer):
    def branches(transaction):
        branch(transaction, 30, "done", "debit")
        branch(transaction, 31, answer, "credit")

    return lambda gid: tcc.tcc_global_transaction(dtm, gid, branches)


def nested(gid):
    def branches(outer):
        branch(outer, 30, "done", "debit")
        # What a participant does that has participants of its own: it goes on below its branch.
        inner = tcc.tcc_from_req(dtm, gid, "01")
        branch(inner, 1, "done", "fee")

    return tcc.tcc_global_transaction(dtm, gid, branches)


run("done", transfer("done"))
run("refused", transfer("refused"))
run("refused-in-200", transfer("refused-in-200"))
run("broken", transfer("broken"))
run("nested", nested)
tell()
