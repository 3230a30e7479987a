# From nothing to the first user, with the commands of docs/install.md as they stand there: at most six. What is there
# before is what an administrator has: the application's database in MariaDB, a certificate, a name that leads here.
# Sourced by scripts/test-packages.

fresh bookworm mariadb-server-core mariadb-client-core openssl ca-certificates curl

echo "127.0.0.1 localhost scim.example.com $(hostname)" >"$root/etc/hosts"

# ---- the application
schema=$here/../shared/schemas/snipe-it-8.6.3.sql
inside useradd --system mysql 2>/dev/null || true
inside install -d -o mysql /run/mysqld /var/lib/mysql
inside mariadb-install-db --no-defaults --user=mysql --datadir=/var/lib/mysql --skip-test-db --skip-name-resolve --auth-root-authentication-method=normal >"$work/application" 2>&1 ||
    { cat "$work/application"; false; }
inside mariadbd --no-defaults --user=mysql --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --skip-networking --skip-log-bin >"$work/mariadb" 2>&1 &
for _ in $(seq 300); do inside mariadb -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.1; done
inside mariadb -e "CREATE DATABASE snipeit CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
if [ -e "$schema" ]; then
    chroot "$root" mariadb snipeit <"$schema"
    real=", on the real schema"
else
    # Where the real schema is not at hand: the small application, under the adapter's name.
    chroot "$root" mariadb snipeit <"$here/tests/schemas/small.mysql.sql"
    install -d -m 755 "$root/etc/scimshim/adapters"
    cp "$here/tests/adapters/small.yaml" "$root/etc/scimshim/adapters/snipe-it.yaml"
    real=", on a small schema"
fi
[ ! -e "$schema" ] || inside mariadb snipeit -e "INSERT INTO users (id, username, first_name, password, activated, permissions)
    VALUES (1, 'admin', 'Admin', 'x', 1, '{\"superuser\":\"1\"}')"

# ---- a certificate for scim.example.com, of an authority that this system trusts
inside sh -c 'cd /root && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "/CN=An authority" \
    -keyout ca.key -out /usr/local/share/ca-certificates/ca.crt && openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
    -subj /CN=scim.example.com -keyout privkey.pem -out request.pem && printf "subjectAltName=DNS:scim.example.com\n" >extensions &&
    openssl x509 -req -days 2 -in request.pem -CA /usr/local/share/ca-certificates/ca.crt -CAkey ca.key -extfile extensions -out fullchain.pem &&
    update-ca-certificates' >"$work/certificate" 2>&1

# ---- in systemctl's place: what systemd would do with the unit
mkdir -p "$root/usr/local/bin"
cat >"$root/usr/local/bin/systemctl" <<'STANDIN'
#!/bin/sh
[ "$*" = "enable --now scimshim" ] || exit 0
unit=/usr/lib/systemd/system/scimshim.service
eval "$(sed -n 's/^ExecCondition=//p' $unit)" || { echo "condition not met: not started"; exit 0; }
install -d -m 700 -o scimshim -g scimshim /var/lib/scimshim
cd /var/lib/scimshim && umask 0077
setpriv --reuid=scimshim --regid=scimshim --init-groups --no-new-privs $(sed -n 's/^ExecStart=//p' $unit) >/var/log/scimshim.log 2>&1 &
for _ in $(seq 200); do curl -fs http://127.0.0.1:9443/readyz >/dev/null && exit 0; sleep 0.1; done
cat /var/log/scimshim.log
exit 1
STANDIN
chmod 755 "$root/usr/local/bin/systemctl"

# ---- the commands: each block of the section is one
rm -rf "$work/commands" && mkdir "$work/commands"
awk -v out="$work/commands/" '
    /^## / { inside = ($0 == "## From nothing to the first user") }
    inside && /^ *```sh$/ { file = out sprintf("%02d", ++number); next }
    /^ *```$/ { file = "" }
    file { sub(/^   /, ""); print > file }' docs/install.md
count=$(find "$work/commands" -type f | wc -l)
ok "the page has commands, and six at most" test "$count" -ge 4 -a "$count" -le 6
cp "$deb" "$root/root/"
: >"$work/transcript"
for file in "$work"/commands/*; do
    sed 's/^apt install/& -qy -o Dpkg::Use-Pty=0/' "$file" >"$root/root/command"
    { sed '1s/^/# /; 1!s/^/  /' "$file"; } >>"$work/transcript"
    ok "command $(basename "$file"): $(head -n 1 "$file" | cut -c 1-60)" inside bash -ec 'cd /root && . ./command'
    cat "$work/said" >>"$work/transcript"
done
ok "the user is in the application's table$real" has "ada" <(inside mariadb -N snipeit -e "SELECT * FROM $([ -e "$schema" ] && echo users || echo people)")
ok "curl was answered 201" has "HTTP/2 201" "$work/transcript"
ok "check finds nothing wrong afterwards" inside scimshim check

# ---- a client library with CONC-821, as Debian 12 had it for a while: refused, not believed
broken=libmariadb3=1:10.11.18-0+deb12u1
if inside sh -c "cd /srv && apt-get -q update && apt-get -q download $broken && dpkg -x libmariadb3_*.deb /srv/broken" >"$work/broken" 2>&1; then
    ok "a client library that gives texts back empty is refused" has "gives texts back empty" \
        <(inside env LD_LIBRARY_PATH=/srv/broken/usr/lib/x86_64-linux-gnu scimshim check 2>&1 || true)
else
    echo "     $broken is not to be had any more: that it is refused was not tried"
fi
cp "$work/transcript" "$work/first_user.transcript"
echo "     the transcript is in $work/first_user.transcript"
# The chroot's own processes, of which this script's /proc knows no others.
for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/root")" = "$root" ]; then kill -KILL "${process#/proc/}"; fi
done 2>/dev/null || true
wait 2>/dev/null || true
