"""What the sagas of version 1.7.7.0 have beside their steps; options without a setter are set as attributes."""

import json

from dtmcli import saga

from scenario import dtm, run, tell, url


def transfer(gid, answer="done", **options):
    transfer = saga.Saga(dtm, gid)
    transfer.add({"amount": 30}, url("done", "debit"), url("done", "debit-undo"))
    transfer.add({"amount": 30}, url(answer, "credit"), url("done", "credit-undo"))
    transfer.trans_base.__dict__.update(options)
    return transfer


def by_setter(gid):
    transfer(gid).set_concurrent().submit()


CREDIT_FIRST = json.dumps({"concurrent": True, "orders": {"0": [1]}})

run("waits and is done", lambda gid: transfer(gid, wait_result=True).submit())
run("waits and is refused", lambda gid: transfer(gid, "refused", wait_result=True).submit())
run("waits in vain", lambda gid: transfer(gid, "late", wait_result=True, retry_interval=3).submit())
run("headers", lambda gid: transfer(gid, branch_headers={"x-tenant": "t 1"}).submit())
run("concurrent", lambda gid: transfer(gid, custom_data=CREDIT_FIRST).submit())
run("concurrent by its setter", by_setter)
tell()
