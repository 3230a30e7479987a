# What systemd says of the unit, without being asked to run it, and what of its sandbox can be tried without it.
# Sourced by scripts/test-packages.

fresh bookworm libmariadb3 systemd openssl
ok "installs" install_deb "$deb"
unit=/usr/lib/systemd/system/scimshim.service
ok "systemd 252 finds nothing wrong" same "" <(inside systemd-analyze verify --man=no $unit 2>&1)
ok "exposure is 1.6 at most" inside systemd-analyze security --offline=true --threshold=20 $unit

# The service, run as the unit runs it: its user, its folder, its umask. The system calls it makes, starting, serving,
# reading again and stopping, must all be among those that the unit's SystemCallFilter lets through.
serve_sqlite() { # a configuration on SQLite, with a certificate
    inside scimshim demo --data /var/lib/scimshim >/dev/null 2>&1
    rm -rf "$root/var/lib/scimshim/"demo.json
    inside chown -R scimshim:scimshim /var/lib/scimshim
    inside openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
        -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout /etc/scimshim/tls/privkey.pem -out /etc/scimshim/tls/fullchain.pem 2>/dev/null
    inside chgrp scimshim /etc/scimshim/tls/privkey.pem
    inside chmod 640 /etc/scimshim/tls/privkey.pem
    cat >"$root/etc/scimshim/config.yaml" <<CONFIG
listen: 127.0.0.1:18443
tls: { certificate: tls/fullchain.pem, private_key: tls/privkey.pem }
public_url: https://localhost:18443
database: { url: "sqlite:///var/lib/scimshim/application.db" }
adapter: demo
identity_servers: { idp: {} }
admin: { listen: 127.0.0.1:19443 }
CONFIG
}
listen_to_notify() { # collects what the service tells systemd
    python3 - "$root/run/notify" "$work/notified" <<'PYTHON' &
import os, socket, sys
path, out = sys.argv[1:]
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(path)
os.chmod(path, 0o777)
with open(out, "w", buffering=1) as file:
    while True:
        for line in listener.recv(65536).decode().splitlines():
            print(line, file=file)
            if line == "STOPPING=1":
                sys.exit()
PYTHON
    for _ in $(seq 50); do [ -S "$root/run/notify" ] && break; sleep 0.1; done
}
until_said() { # LINE SECONDS: what systemd would hear
    for _ in $(seq $(($2 * 10))); do
        grep -q "^$1" "$work/notified" && return
        sleep 0.1
    done
    cat "$work/notified" "$work/served"
    return 1
}
# What is let through: the names of @system-service and @default, less those that the unit takes away.
allowed() {
    python3 - "$root" <<'PYTHON'
import re, subprocess, sys
root = sys.argv[1]
text = subprocess.run(["chroot", root, "systemd-analyze", "syscall-filter"], check=True, capture_output=True, text=True).stdout
sets, name = {}, None
for line in text.splitlines():
    word = line.strip()
    if line.startswith("@"):
        name = word
        sets[name] = set()
    elif name and word and not word.startswith("#"):
        sets[name].add(word)
def members(name):
    return set().union(*(members(word) if word.startswith("@") else {word} for word in sets[name])) if sets[name] else set()
let = members("@default")
for line in open(root + "/usr/lib/systemd/system/scimshim.service"):
    found = re.match(r"SystemCallFilter=(~?)(.*)", line)
    if found:
        names = set().union(*(members(word) for word in found.group(2).split()))
        let = let - names if found.group(1) else let | names
print("\n".join(sorted(let)))
PYTHON
}

serve_sqlite
ok "the configuration is good" inside scimshim check
rm -f "$root/run/notify" "$work/notified"
listen_to_notify
strace -f -qq -e trace=all -e signal=none -o "$work/calls" \
    chroot "$root" setpriv --reuid=scimshim --regid=scimshim --clear-groups --no-new-privs \
    env -i PATH=/usr/bin:/bin NOTIFY_SOCKET=/run/notify WATCHDOG_USEC=2000000 \
    sh -c 'umask 0077; cd /var/lib/scimshim; exec scimshim serve' >"$work/served" 2>&1 &
ok "tells systemd that it is ready" until_said READY=1 60
token=$(inside scimshim token issue idp 2>/dev/null) || true
ask() { # PATH [OPTION...]
    curl -sS --fail --cacert "$root/etc/scimshim/tls/fullchain.pem" -H "Authorization: Bearer $token" "https://localhost:18443/scim/v2$1" "${@:2}"
}
ok "creates a user over TLS" ask /Users -H 'Content-Type: application/scim+json' \
    -d '{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"first","name":{"givenName":"First","familyName":"User"}}'
ok "finds the user" has '"userName":"first"' <(ask '/Users?filter=userName%20eq%20%22first%22')
ok "is ready on the private listener" curl -sS --fail http://127.0.0.1:19443/readyz
ok "feeds the watchdog" until_said WATCHDOG=1 10
# The chroot's /proc is this script's own: the process is named as here.
pid=$(inside sh -c 'for p in /proc/[0-9]*; do if [ "$(readlink "$p/exe")" = /usr/bin/scimshim ]; then basename "$p"; fi; done' | head -n 1)
kill -HUP "$pid"
ok "tells that it reads its configuration again" until_said RELOADING=1 20
sleep 1
kill -TERM "$pid"
ok "tells that it stops" until_said STOPPING=1 20
wait || true
sed -nE 's/^[0-9]+ +(<\.\.\. )?([a-z_0-9]+)[( ].*/\2/p' "$work/calls" | sort -u >"$work/made"
# What comes before the program itself: strace sees setpriv and the shell as well.
ok "makes system calls, which strace saw" test "$(wc -l <"$work/made")" -gt 40
ok "makes none that the unit forbids" same "" <(comm -23 "$work/made" <(allowed | sort) | grep -vxE 'chroot|setgroups|setresuid|setresgid|prctl|capset|execve' || true)
