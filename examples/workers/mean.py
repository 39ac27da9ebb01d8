"""A worker in plain Python: learns the mean of every column of its rows, says how far it is, and leaves what it has learned."""

import csv
import json
import os
import sys
import time
import urllib.error
import urllib.request

WORKER = os.environ["WORKER_NAME"]


def report(**body):
    """Tells the node's agent how it stands; returns once that is kept."""
    body = {"name": WORKER, "kind": "train", **body}
    request = urllib.request.Request(
        f"{os.environ['LC_SERVER']}/sedna/workers/{WORKER}/info", json.dumps(body).encode(), {"Content-Type": "application/json"})
    for attempt in range(10):
        try:
            urllib.request.urlopen(request, timeout=30).read()
            return
        except urllib.error.HTTPError as error:
            # 429 and 5xx: the agent is busy. Any other answer says what is wrong with the report; asking again would not help.
            if error.code != 429 and error.code < 500:
                sys.exit(f"the report was refused: {error.read().decode()}")
        except OSError:
            pass
        # The agent is being started again: what it was told before is kept.
        time.sleep(1 + attempt)
    sys.exit("the node's agent cannot be reached")


def main():
    source, target = os.environ["TRAIN_DATASET_URL"], os.environ["MODEL_URL"] + "/means.json"
    with open(source, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        report(status="failed", message=f"{source} holds no rows; give the job some")
        sys.exit(3)
    means = {}
    for place, column in enumerate(rows[0]):
        means[column] = sum(float(row[column]) for row in rows) / len(rows)
        report(status="running", progress={"done": place + 1, "total": len(rows[0]), "unit": "columns"})
    with open(target, "w") as file:
        json.dump(means, file)
    report(status="completed", results=[{"format": "json", "url": target, "metrics": {"rows": len(rows)}}])


main()
