"""Every flow by Authlib, a client that is not ours, against a running service. What it did is printed as JSON.

usage: oauth.py URL CA REDIRECT_URI CLIENT SECRET MACHINE MACHINE_SECRET SIGNING KEY_FILE NAME PASSWORD
"""

import html
import json
import os
import re
import sys

import requests
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT

(url, ca, redirect_uri, client, secret, machine, machine_secret, signing, key_file, name, password) = sys.argv[1:]
# What the environment says of certificates would win over a session's own word.
os.environ["REQUESTS_CA_BUNDLE"] = ca
issuer = f"{url}/oauth2/test"
users = f"{url}/scim/v2/Users"
done = {}


def session(*arguments, **more):
    made = OAuth2Session(*arguments, **more)
    made.verify = ca
    return made


metadata = requests.get(f"{url}/.well-known/oauth-authorization-server/oauth2/test", verify=ca).json()
assert metadata["issuer"] == issuer, metadata
token_endpoint = metadata["token_endpoint"]


def consent(address):
    """The administrator's part: reads the form as a browser does, and sends it."""
    browser = requests.Session()
    browser.verify = ca
    page = browser.get(address)
    assert page.status_code == 200, page.text
    fields = {
        html.unescape(field): html.unescape(value)
        for field, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text)
    }
    fields.update(username=name, password=password, decision="agree")
    action = re.search(r'<form method="post" action="([^"]*)"', page.text).group(1)
    answer = browser.post(url + action, data=fields, allow_redirects=False)
    assert answer.status_code == 303, answer.text
    return answer.headers["Location"]


# Authorization code with PKCE, both ways to send a secret.
for method in ("client_secret_basic", "client_secret_post"):
    oauth = session(
        client,
        secret,
        scope="scim",
        redirect_uri=redirect_uri,
        code_challenge_method="S256",
        token_endpoint_auth_method=method,
        token_endpoint=token_endpoint,
    )
    verifier = generate_token(48)
    address, state = oauth.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier)
    location = consent(address)
    assert f"state={state}" in location, location
    token = oauth.fetch_token(token_endpoint, authorization_response=location, code_verifier=verifier, state=state)
    assert oauth.get(users).status_code == 200
    done[f"authorization_code {method}"] = sorted(token)

    # The library refreshes by itself once a token has ended.
    old = dict(oauth.token)
    oauth.token = {**old, "expires_at": 1}
    assert oauth.get(users).status_code == 200
    assert oauth.token["refresh_token"] != old["refresh_token"]
    assert oauth.token["access_token"] != old["access_token"]
    done[f"refresh_token {method}"] = sorted(oauth.token)

    kept = dict(oauth.token)
    answer = oauth.revoke_token(metadata["revocation_endpoint"], token=kept["refresh_token"], token_type_hint="refresh_token")
    assert answer.status_code == 200, answer.text
    try:
        oauth.refresh_token(token_endpoint, refresh_token=kept["refresh_token"])
        raise SystemExit("a revoked token was taken")
    except Exception as error:  # the library's own class moves between its versions
        assert "invalid_grant" in str(error), repr(error)
    done[f"revoked {method}"] = "invalid_grant"

# A client for itself.
for method in ("client_secret_basic", "client_secret_post"):
    oauth = session(machine, machine_secret, scope="scim", token_endpoint_auth_method=method)
    token = oauth.fetch_token(token_endpoint, grant_type="client_credentials")
    assert "refresh_token" not in token, sorted(token)
    assert oauth.get(users).status_code == 200
    done[f"client_credentials {method}"] = sorted(token)

with open(key_file) as key:
    oauth = session(signing, key.read(), scope="scim", token_endpoint_auth_method="private_key_jwt")
oauth.register_client_auth_method(PrivateKeyJWT(token_endpoint))
token = oauth.fetch_token(token_endpoint, grant_type="client_credentials")
assert oauth.get(users).status_code == 200
done["client_credentials private_key_jwt"] = sorted(token)

oauth = session(machine, "wrong", token_endpoint_auth_method="client_secret_basic")
try:
    oauth.fetch_token(token_endpoint, grant_type="client_credentials")
    raise SystemExit("a wrong secret was taken")
except Exception as error:
    assert "invalid_client" in str(error), repr(error)
done["wrong secret"] = "invalid_client"

print(json.dumps(done))
