"""python-requests with Basic and Digest: BASE CA PASSWORD. Reads, writes, and is refused with another password."""

import sys

import requests
from requests.auth import HTTPBasicAuth, HTTPDigestAuth

base, ca, password = sys.argv[1:]
secret = password.encode()
clients = [
    ("basic", lambda word: HTTPBasicAuth(b"hr", word)),
    ("digest", lambda word: HTTPDigestAuth("hr", word.decode())),
    ("old", lambda word: HTTPDigestAuth("hr", word.decode())),
    ("every", lambda word: HTTPBasicAuth(b"hr", word)),
    ("every", lambda word: HTTPDigestAuth("hr", word.decode())),
]
for number, (server, authentication) in enumerate(clients):
    users = f"{base}/scim/{server}/v2/Users"
    with requests.Session() as session:
        session.trust_env = False
        session.verify = ca
        session.auth = authentication(secret)
        asked = 0
        for _ in range(20):
            answer = session.get(users, params={"count": 1, "filter": 'userName eq "x y/z"'})
            assert answer.status_code == 200, (server, answer.status_code, answer.text)
            asked += len(answer.history)
        # One nonce serves for all of them.
        assert asked <= 1, (server, asked)
        body = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": f"requests {number}"}
        answer = session.post(users, json=body)
        assert answer.status_code == 201, (server, answer.status_code, answer.text)
        session.auth = authentication(b"wrong")
        answer = session.get(users)
        assert answer.status_code == 401, (server, answer.status_code, answer.text)
print(len(clients), "clients")
