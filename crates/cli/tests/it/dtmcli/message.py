"""Messages of version 1.7.7.0, with the initiator in every kind of trouble."""

from dtmcli import msg, utils

from scenario import dtm, run, tell, url


def message(gid, **options):
    message = msg.Msg(dtm, gid)
    message.add({"amount": 30}, url("done", "ledger"))
    message.add({"points": 3}, url("done", "points"))
    message.trans_base.__dict__.update(options)
    return message


def prepared_and_submitted(gid):
    order = message(gid)
    order.prepare(url("done", "check-back"))
    order.submit()


def local(error):
    """A local transaction; with an error, one of which the initiator knows only that."""

    def callback(_barrier):
        if error is not None:
            raise error

    return callback


def do_and_submit(error, check_back):
    return lambda gid: message(gid).do_and_submit(url(check_back, "check-back"), local(error))


def vanishes(check_back):
    return lambda gid: message(gid, timeout_to_fail=1).prepare(url(check_back, "check-back"))


LOST = ConnectionError("the database does not answer")

run("submitted at once", lambda gid: message(gid).set_wait_result().submit())
run("prepared and submitted", prepared_and_submitted)
run("local transaction done", do_and_submit(None, "refused"))
run("local transaction refused", do_and_submit(utils.DTMFailureError("no funds"), "done"))
run("local transaction unknown, but done", do_and_submit(LOST, "done"))
run("local transaction unknown, not done", do_and_submit(LOST, "refused"))
run("vanished after its local transaction", vanishes("done"))
run("vanished before its local transaction", vanishes("refused"))
tell()
