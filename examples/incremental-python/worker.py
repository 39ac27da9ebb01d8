"""The worker contract in plain Python: variables in, reports out. Nothing but the standard library."""
import csv
import http.client
import json
import os
import signal
import sys
import time
import urllib.error
import urllib.request


class BadInput(Exception):
    """The job's own files or variables: trying again would not help."""


def variable(name, meaning):
    value = os.environ.get(name, "")
    if not value:
        raise BadInput(f"the environment variable {name} ({meaning}) is not set")
    return value


class NotTaken(Exception):
    """A report that the node's agent did not take."""

    def __init__(self, words, is_final=False):
        super().__init__(words)
        self.is_final = is_final  # the same report will not be taken later either


# Past any proxy: the agent is on this machine.
AGENT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def send(body, timeout):
    """POST $LC_SERVER/sedna/workers/$WORKER_NAME/info, as Sedna's workers do; by hand, a line on standard output."""
    name, server = os.environ.get("WORKER_NAME", "by-hand"), os.environ.get("LC_SERVER")
    body = {"name": name, "namespace": os.environ.get("NAMESPACE", "default"), "ownerName": os.environ.get("JOB_NAME", ""), **body}
    if not server:
        print(json.dumps(body), flush=True)
        return
    request = urllib.request.Request(
        f"{server}/sedna/workers/{name}/info", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        try:
            AGENT.open(request, timeout=timeout).read()
        except urllib.error.HTTPError as error:
            words = error.read(1000).decode("utf-8", "replace")
            # 429 and 5xx: busy or broken for now. Any other answer says what is wrong with the report.
            is_final = error.code < 500 and error.code != 429
            raise NotTaken(f"the node's agent refused a report with {error.code}: {words}", is_final) from error
    except (OSError, http.client.HTTPException) as error:
        raise NotTaken(f"the node's agent at {server} did not take a report: {type(error).__name__}: {error}") from error


silent_until = 0.0


def tell(kind, **facts):
    """Says how far the work is, by `progress` or `ownerInfo`; where that is not taken, the work goes on and the agent is left alone for a minute.

    Returns whether it was taken.
    """
    global silent_until
    if time.monotonic() < silent_until:
        return False
    try:
        send({"kind": kind, "status": "running", **facts}, timeout=10)
        return True
    except NotTaken as error:
        print(error, file=sys.stderr, flush=True)
        silent_until = time.monotonic() + 60
        return False


def finish(kind, status, results=(), message="", patience=300):
    """Sends the last report, again and again for `patience` seconds while the agent is away."""
    body = {"kind": kind, "status": status, "results": list(results), "message": message[:1000]}
    pause, end = 0.2, time.monotonic() + patience
    while True:
        try:
            return send(body, timeout=30 if patience else 3)
        except NotTaken as error:
            if error.is_final or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 8)


def failed(kind, message, patience=300):
    """The last report of work that failed; what is said to people does not depend on whether it was taken."""
    try:
        finish(kind, "failed", message=message, patience=patience)
    except NotTaken as error:
        print(error, file=sys.stderr, flush=True)


def run(kind, work):
    """Runs the work; whatever happens, the last report says it."""
    def cancelled(*_):
        # Once: the process is to be gone within seconds.
        try:
            failed(kind, "cancelled", patience=0)
        finally:
            os._exit(143)

    signal.signal(signal.SIGTERM, cancelled)
    try:
        results = work()
    except BadInput as error:
        failed(kind, str(error))
        sys.exit(f"{error}")
    except Exception as error:
        failed(kind, f"{type(error).__name__}: {error}")
        raise
    # The work is done: what was reached is still to be said.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        finish(kind, "completed", results)
    except NotTaken as error:
        sys.exit(f"{error}")


def rows(path):
    """Header and rows of a CSV file; of a folder, of its first CSV."""
    if os.path.isdir(path):
        found = sorted(name for name in os.listdir(path) if name.endswith(".csv"))
        if not found:
            raise BadInput(f"{path}: the folder holds no .csv file")
        path = os.path.join(path, found[0])
    try:
        with open(path, newline="", encoding="utf-8") as file:
            table = list(csv.reader(file))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not valid UTF-8 at byte {error.start}; save the file as UTF-8") from error
    if len(table) < 2:
        raise BadInput(f"{path}: no row below the header; give rows to work with")
    return path, table[0], table[1:]


def columns(path, header, table, features, label=None):
    """Numbers of the feature columns (an empty field is NaN) and the words of the label column."""
    for name in features + ([label] if label else []):
        if name not in header:
            raise BadInput(f"{path}, line 1: no column \"{name}\" (found: {', '.join(header)}); fix the header")
    places = [header.index(name) for name in features]
    numbers, labels = [], []
    for line, row in enumerate(table, start=2):
        if len(row) != len(header):
            raise BadInput(f"{path}, line {line}: {len(row)} fields, the header has {len(header)}")
        values = []
        for place in places:
            try:
                values.append(float(row[place]) if row[place] not in ("", "NA") else float("nan"))
            except ValueError as error:
                raise BadInput(
                    f"{path}, line {line}, column \"{header[place]}\": \"{row[place][:40]}\" is not a number; correct it"
                ) from error
        numbers.append(values)
        labels.append(row[header.index(label)] if label else "")
    return numbers, labels


def wanted_features(header):
    """FEATURES, else every column that is neither the label nor ignored."""
    named = [name.strip() for name in os.environ.get("FEATURES", "").split(",") if name.strip()]
    if named:
        return named
    ignored = {name.strip() for name in os.environ.get("IGNORED_COLUMNS", "").split(",")}
    label = os.environ.get("LABEL_COLUMN", "label")
    return [name for name in header if name != label and name not in ignored]
