"""scim2-client's whole round with a service: BASE TOKEN CA. Everything is asserted; the last line says how much was done.

Its models come from the service's own /Schemas, and it checks every answer against them and the RFC.
"""

import ssl
import sys

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import Error, PatchOp, PatchOperation, SearchRequest

base, token, ca = sys.argv[1:]
done = 0


def step(value, condition):
    global done
    assert condition, value
    done += 1
    return value


http = httpx2.Client(
    base_url=base, headers={"Authorization": f"Bearer {token}"}, verify=ssl.create_default_context(cafile=ca), trust_env=False
)
scim = SyncSCIMClient(http, raise_scim_errors=False)
scim.discover()
# Made once, each on a line of its own: pydantic reads the source around the place.
User, Group = scim.get_resource_model("User"), scim.get_resource_model("Group")
UserOperation = PatchOperation[User]
GroupOperation = PatchOperation[Group]
UserPatch = PatchOp[User]
GroupPatch = PatchOp[Group]
step(User, User is not None and Group is not None)
step(scim.service_provider_config, scim.service_provider_config.patch.supported)


def name(number):
    return f"round{number:02}@example.org"


people = []
for number in range(12):
    made = scim.create(User(
        user_name=name(number),
        external_id=f"e-{number}",
        name=User.Name(given_name="Round", family_name=f"Nr {number}"),
        emails=[User.Emails(value=name(number), type="work", primary=True)],
        active=True,
    ))
    people.append(step(made, isinstance(made, User) and made.id and made.meta.location and made.user_name == name(number)))

# Read, alone and in lists.
read = scim.query(User, people[3].id)
step(read, read.name.family_name == "Nr 3" and read.external_id == "e-3" and read.emails[0].value == name(3))
for ask, expected in [
    ('userName eq "ROUND05@example.org"', [5]),
    ('externalId eq "e-7"', [7]),
    ('emails.value eq "round01@example.org"', [1]),
    ('emails[type eq "work"].value eq "round02@example.org"', [2]),
    ('userName sw "round0" and name.familyName co "8"', [8]),
    ('userName eq "nobody"', []),
]:
    found = scim.query(User, query_parameters=SearchRequest(filter=ask))
    step(found, [one.user_name for one in found.resources or []] == [name(n) for n in expected] and found.total_results == len(expected))
seen, start = [], 1
while True:
    page = scim.query(User, query_parameters=SearchRequest(filter='userName sw "round"', sort_by="userName", start_index=start, count=5))
    step(page, page.total_results == 12 and page.start_index == start and len(page.resources) <= 5)
    seen += [one.user_name for one in page.resources]
    start += len(page.resources)
    if len(seen) >= page.total_results:
        break
step(seen, seen == [name(number) for number in range(12)])
posted = scim.search(SearchRequest(filter='userName eq "round04@example.org"'))
step(posted, [one.id for one in posted.resources] == [people[4].id])

# Replace, PATCH.
read.name.family_name = "Replaced"
read.title = "Weaver"
replaced = scim.replace(read)
step(replaced, isinstance(replaced, User) and replaced.title == "Weaver" and replaced.name.family_name == "Replaced")
patched = scim.modify(User, people[3].id, UserPatch(operations=[
    UserOperation(op="replace", path="title", value="Dyer"),
    UserOperation(op="add", path='phoneNumbers[type eq "work"].value', value="+31 15 000 0001"),
    UserOperation(op="replace", path="active", value=False),
]))
step(patched, patched is None or isinstance(patched, User))
now = scim.query(User, people[3].id)
step(now, now.title == "Dyer" and now.active is False and now.phone_numbers[0].value == "+31 15 000 0001")
gone = scim.modify(User, people[3].id, UserPatch(operations=[UserOperation(op="remove", path="title")]))
step(gone, not isinstance(gone, Error) and scim.query(User, people[3].id).title is None)

# Groups.
member = lambda person: Group.Members(value=person.id)
group = scim.create(Group(display_name="Rounds", members=[member(people[0]), member(people[1])]))
step(group, isinstance(group, Group) and {one.value for one in group.members} == {people[0].id, people[1].id})


def members():
    return {one.value for one in scim.query(Group, group.id).members or []}


for operation, expected in [
    (GroupOperation(op="add", path="members", value=[{"value": people[2].id}]), {0, 1, 2}),
    (GroupOperation(op="remove", path=f'members[value eq "{people[0].id}"]'), {1, 2}),
    (GroupOperation(op="replace", path="members", value=[{"value": people[5].id}]), {5}),
    (GroupOperation(op="remove", path="members"), set()),
]:
    answer = scim.modify(Group, group.id, GroupPatch(operations=[operation]))
    step(answer, not isinstance(answer, Error) and members() == {people[n].id for n in expected})
full = scim.query(Group, group.id)
full.display_name = "Rounds 2"
full.members = [member(people[6])]
step(scim.replace(full), members() == {people[6].id})
found = scim.query(Group, query_parameters=SearchRequest(filter='displayName eq "rounds 2"', excluded_attributes=["members"]))
step(found, found.total_results == 1 and not found.resources[0].members)

# What is wrong comes back as an error of SCIM.
twice = scim.create(User(user_name=name(0).upper()))
step(twice, isinstance(twice, Error) and twice.status == 409 and twice.scim_type == "uniqueness")
nobody = scim.query(User, "99999999")
step(nobody, isinstance(nobody, Error) and nobody.status == 404)

# Deleted.
step(group, scim.delete(Group, group.id) is None)
for person in people:
    step(person, scim.delete(User, person.id) is None)
again = scim.delete(User, people[0].id)
step(again, isinstance(again, Error) and again.status == 404)
step(scim, scim.query(User, query_parameters=SearchRequest(filter='userName sw "round"')).total_results == 0)
print(done, "steps")
