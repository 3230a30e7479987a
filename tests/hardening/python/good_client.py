"""good_client.py URL CA TOKEN ADDRESS: asks for URL again and again from ADDRESS, each time on a connection of its own,
until its stdin closes; then prints {"requests", "failures", "slowest"} (seconds) as JSON."""
import http.client
import json
import select
import ssl
import sys
import time
from urllib.parse import urlsplit

url, ca, token, address = sys.argv[1:]
parts = urlsplit(url)
context = ssl.create_default_context(cafile=ca)
requests, failures, slowest = 0, [], 0.0
while not select.select([sys.stdin], [], [], 0.05)[0]:
    began = time.monotonic()
    try:
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, context=context, timeout=10, source_address=(address, 0)
        )
        connection.request("GET", parts.path, headers={"Authorization": "Bearer " + token})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        if answer.status != 200:
            failures.append(f"status {answer.status}")
    except (OSError, http.client.HTTPException) as error:
        failures.append(f"{type(error).__name__}: {error}")
    requests += 1
    slowest = max(slowest, time.monotonic() - began)
print(json.dumps({"requests": requests, "failures": failures, "slowest": slowest}))
