# Asks a server with Triton's own client, one row a request: what `skerry bench infer` lets it load servers with. Says the median and the 99th percentile
# of a request, in nanoseconds.
import sys
import time

import numpy
import tritonclient.http as triton

port, width, requests = (int(word) for word in sys.argv[1:4])
is_binary = sys.argv[4] == "bytes"
client = triton.InferenceServerClient("127.0.0.1:%d" % port)
lots = numpy.random.default_rng(27)
rows = []
for _ in range(64):
    features = triton.InferInput("features", [1, width], "FP32")
    features.set_data_from_numpy(lots.uniform(-5, 60, (1, width)).astype("float32"), binary_data=is_binary)
    rows.append([features])
times = []
for turn in range(requests + 200):
    start = time.perf_counter_ns()
    client.infer("bench", rows[turn % 64], outputs=None)
    times.append(time.perf_counter_ns() - start)
times = sorted(times[200:])
print(times[len(times) // 2], times[len(times) * 99 // 100])
