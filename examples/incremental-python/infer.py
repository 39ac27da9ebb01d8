"""Predicts every row that is appended to INFER_DATASET_URL, with the newest model; follows Sedna's hot update."""
import csv
import json
import os
import signal
import time

import worker
from model import Predictor


class Model:
    """The model of the moment: MODEL_URL, replaced when MODEL_HOT_UPDATE_CONFIG names a newer one."""

    def __init__(self):
        self.path = worker.variable("MODEL_URL", "path of the model to serve")
        self.config = os.environ.get("MODEL_HOT_UPDATE_CONFIG", "")
        self.taken, self.predictor, self.version = None, None, ""

    def look(self):
        path, time_of, version = self.path, "", ""
        if self.config and os.path.exists(self.config):
            with open(self.config, encoding="utf-8") as file:
                facts = json.load(file)["model_config"]
            path = os.path.join(os.path.dirname(self.config), facts["model_path"])
            time_of, version = facts.get("model_update_time", ""), str(facts.get("version", ""))
        if os.path.isdir(path):
            path = os.path.join(path, "model.onnx")
        if not os.path.exists(path):
            return
        mark = (time_of, os.stat(path).st_mtime_ns)
        if mark != self.taken:
            self.predictor = Predictor(path)
            self.taken, self.version = mark, version or self.predictor.version


class Rows:
    """The whole lines of a growing CSV file, each once."""

    def __init__(self, path):
        self.path, self.offset, self.header, self.line = path, 0, None, 0

    def next(self):
        try:
            with open(self.path, "rb") as file:
                file.seek(self.offset)
                text = file.read(1 << 20)
        except FileNotFoundError:
            return []
        text = text[:text.rfind(b"\n") + 1]
        self.offset += len(text)
        found = []
        for row in csv.reader(text.decode("utf-8", "replace").splitlines()):
            self.line += 1
            if self.header is None:
                self.header = row
            else:
                found.append((self.line, row))
        return found


def number(text):
    try:
        return float(text)
    except ValueError:
        return float("nan")


def main():
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    model, rows = Model(), Rows(worker.variable("INFER_DATASET_URL", "CSV that rows are appended to"))
    output = worker.variable("OUTPUT_URL", "folder to write predictions.csv into")
    os.makedirs(output, exist_ok=True)
    start = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    count, told, said = 0, 0.0, None
    with open(os.path.join(output, "predictions.csv"), "a", newline="", encoding="utf-8") as file:
        answers = csv.writer(file)
        if file.tell() == 0:
            answers.writerow(["line", "class", "probability", "model_version"])
        while not stopped:
            model.look()
            for line, row in rows.next() if model.predictor else []:
                fields = dict(zip(rows.header, row))
                share = model.predictor.probabilities([[number(fields.get(name, "")) for name in model.predictor.features]])[0]
                best = int(share.argmax())
                answers.writerow([line, model.predictor.classes[best], float(share[best]), model.version])
                count += 1
            file.flush()
            facts = {"startTime": start, "inferenceNumber": count, "modelVersion": model.version}
            if facts != said and time.monotonic() - told >= float(os.environ.get("LC_PERIOD", "30")):
                told, said = time.monotonic(), facts if worker.tell("inference", ownerInfo=facts) else said
            time.sleep(0.2)


main()
