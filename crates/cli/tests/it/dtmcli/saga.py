"""Sagas that every version of the client can say."""

from dtmcli import saga

from scenario import dtm, run, tell, url

DEBIT = {"amount": 30, "note": "转出"}
CREDIT = {"amount": 30, "to": ["a", {"b": None}]}


def transfer(answer):
    def program(gid):
        transfer = saga.Saga(dtm, gid)
        transfer.add(DEBIT, url("done", "debit"), url("done", "debit-undo"))
        transfer.add(CREDIT, url(answer, "credit"), url("done", "credit-undo"))
        transfer.submit()

    return program


run("done", transfer("done"))
run("refused", transfer("refused"))
run("refused-in-200", transfer("refused-in-200"))
tell()
