"""Answers read as authentik reads them: BASE TOKEN CA. One line an answer, `ok WHAT` or `FAIL WHAT: why`; 1 if any failed.

The models are those of pydantic-scim, with what authentik lays over them: an id that must be there, any number of schemas
in a group, and bulk.maxOperations, which its releases before August 2026 need as an integer. Every list is read to its end
in its own way of paging: no count, startIndex moved on by what came, until totalResults is there.
"""

import sys
from typing import List

import requests
from pydantic import BaseModel, ConfigDict
from pydanticscim.group import Group as BareGroup
from pydanticscim.resource_type import ResourceType
from pydanticscim.responses import ListResponse, SCIMError
from pydanticscim.service_provider import Bulk, ServiceProviderConfiguration
from pydanticscim.user import User as BareUser


class User(BareUser):
    model_config = ConfigDict(extra="allow")
    id: str


class Group(BareGroup):
    model_config = ConfigDict(extra="allow")
    id: str
    schemas: List[str]


class CountedBulk(Bulk):
    maxOperations: int


class Configuration(ServiceProviderConfiguration):
    bulk: CountedBulk


class Schema(BaseModel):
    id: str
    name: str
    attributes: List[dict]


base, token, ca = sys.argv[1:]
session = requests.Session()
session.trust_env = False
session.verify = ca
session.headers.update({
    "Authorization": f"Bearer {token}",
    "Accept": "application/scim+json",
    "Content-Type": "application/scim+json",
    "User-Agent": "authentik@2026.8.1",
})
failed = False


def read(what, model, document):
    global failed
    try:
        model.model_validate(document)
        print("ok", what)
    except Exception as error:
        failed = True
        print(f"FAIL {what}: {' | '.join(str(error).splitlines())}")


def listed(path):
    """Every resource of a list, page by page."""
    all_of_them, start = [], 1
    while True:
        answer = session.get(base + path, params={"startIndex": start})
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        document = answer.json()
        read(f"{path}?startIndex={start}", ListResponse, document)
        all_of_them.extend(document["Resources"])
        start += len(document["Resources"])
        if len(all_of_them) >= document["totalResults"]:
            return all_of_them
        assert document["Resources"], (path, start, document["totalResults"])


read("/ServiceProviderConfig", Configuration, session.get(f"{base}/ServiceProviderConfig").json())
for path, model in [("/ResourceTypes", ResourceType), ("/Schemas", Schema), ("/Users", User), ("/Groups", Group)]:
    resources = listed(path)
    assert len(resources) >= 2, (path, resources)
    for resource in resources:
        read(f"{path}/{resource['id']}", model, resource)
        if path != "/ResourceTypes":
            read(f"{path}/{resource['id']}, alone", model, session.get(f"{base}{path}/{resource['id']}").json())

taken = listed("/Users")[0]
group = listed("/Groups")[0]
user_urn, group_urn = taken["schemas"][0], group["schemas"][0]
for what, status, method, path, body in [
    ("nobody", 404, "GET", "/Users/99999999", None),
    ("a path of nothing", 404, "GET", "/Nothing", None),
    ("a name that is taken", 409, "POST", "/Users", {"schemas": [user_urn], "userName": taken["userName"]}),
    ("a group's name that is taken", 409, "POST", "/Groups", {"schemas": [group_urn], "displayName": group["displayName"]}),
    ("no name", 400, "POST", "/Users", {"schemas": [user_urn]}),
    ("a method of nothing", 405, "DELETE", "/Users", None),
    ("a filter of nothing", 400, "GET", "/Users?filter=userName+xx+%22a%22", None),
]:
    answer = session.request(method, base + path, json=body)
    if answer.status_code != status:
        failed = True
        print(f"FAIL {what}: {answer.status_code} {answer.text}")
        continue
    read(f"{status} {what}", SCIMError, answer.json())
refused = session.get(f"{base}/Users", headers={"Authorization": "Bearer wrong"})
read("401", SCIMError, refused.json())
sys.exit(failed)
