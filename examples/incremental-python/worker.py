"""The worker contract in plain Python: variables in, reports out. Nothing but the standard library."""
import csv
import json
import os
import signal
import sys
import urllib.request


class BadInput(Exception):
    """The job's own files or variables: trying again would not help."""


def variable(name, meaning):
    value = os.environ.get(name, "")
    if not value:
        raise BadInput(f"the environment variable {name} ({meaning}) is not set")
    return value


def report(kind, status, results=(), message="", progress=None, owner_info=None):
    """POST $LC_SERVER/sedna/workers/$WORKER_NAME/info, as Sedna's workers do."""
    name, server = os.environ.get("WORKER_NAME", "by-hand"), os.environ.get("LC_SERVER")
    body = {
        "name": name, "namespace": os.environ.get("NAMESPACE", "default"), "ownerName": os.environ.get("JOB_NAME", ""),
        "kind": kind, "status": status, "message": message, "results": list(results),
    }
    if progress:
        body["progress"] = progress
    if owner_info:
        body["ownerInfo"] = owner_info
    if not server:
        print(json.dumps(body), flush=True)
        return
    request = urllib.request.Request(
        f"{server}/sedna/workers/{name}/info", json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30).read()


def run(kind, work):
    """Runs the work; whatever happens, the last report says it."""
    def cancelled(*_):
        report(kind, "failed", message="cancelled")
        os._exit(143)

    signal.signal(signal.SIGTERM, cancelled)
    try:
        report(kind, "completed", results=work())
    except BadInput as error:
        report(kind, "failed", message=str(error)[:1000])
        sys.exit(f"{error}")
    except Exception as error:
        report(kind, "failed", message=f"{type(error).__name__}: {error}"[:1000])
        raise


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
