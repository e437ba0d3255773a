"""What the client programs beside this file have in common: what they are told, and what they tell the test."""

import json
import sys

import requests
from dtmcli import utils

# The coordinator as the client wants it (with /api/dtmsvr), and the participant, whose paths begin with its answer.
dtm, participant = sys.argv[1:]

told = {}


def run(name, program):
    """Runs a program with a new gid, and notes what it returned or raised, and how the transaction stood right then."""
    gid = utils.gen_gid(dtm)
    outcome = told[name] = {"gid": gid, "returned": None, "raised": None}
    try:
        outcome["returned"] = program(gid)
    except Exception as error:
        outcome["raised"] = f"{type(error).__name__}: {error}"
    transaction = requests.get(f"{dtm}/query", params={"gid": gid}).json()["transaction"]
    outcome["status"] = transaction and transaction["status"]


def url(answer, name):
    return f"{participant}/{answer}/{name}"


def tell():
    print(json.dumps(told))
