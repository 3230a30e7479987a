# The life of the .deb on Debian 12: installed, configured, upgraded with and without edits, removed, purged.
# Sourced by scripts/test-packages.

# A package of the next version whose configuration has a new line at its end.
next_version() {
    rm -rf "$work/next" && dpkg-deb -R "$deb" "$work/next"
    sed -i 's/^Version: .*/Version: 99.0.0-1/' "$work/next/DEBIAN/control"
    echo "# A line of the next version." >>"$work/next/etc/scimshim/config.yaml"
    dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/next" "$work/scimshim_99.0.0-1.deb" >/dev/null
}
everything() { # each path but those of package management, caches and what the recorder wrote
    inside find / -xdev \( -path /proc -o -path /dev -o -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/cache -o -path /var/log \
        -o -path /root -o -path /recorded \) -prune -o -printf '%p\n' | sort
}

fresh bookworm libmariadb3 systemd
record
everything >"$work/before"

# ---- installed: nothing starts
ok "installs" install_deb "$deb"
ok "prints the next three commands" has "systemctl enable --now scimshim" "$work/install"
ok "has systemd read its units" has "daemon-reload" "$root/recorded"
ok "and asks it for nothing else" same "" <(asked)
ok "is not enabled" not inside sh -c 'ls /etc/systemd/system/*.wants/scimshim.service'
ok "the user cannot log in" has "scimshim:/usr/sbin/nologin" <(inside sh -c 'getent passwd scimshim | sed "s/:.*:/:/"')
ok "the secrets are closed" same "750 root:scimshim" <(inside_mode /etc/scimshim/secrets)
ok "the keys are closed" same "750 root:scimshim" <(inside_mode /etc/scimshim/tls)
ok "the configuration is for root and the service" same "640 root:scimshim" <(inside_mode /etc/scimshim/config.yaml)
ok "the adapters are the package's" same "644 root:root" <(inside_mode /usr/share/scimshim/adapters/snipe-it.yaml)
ok "it is a conffile" same "/etc/scimshim/config.yaml" <(inside sh -c "dpkg-query -W -f '\${Conffiles}' scimshim | awk 'NF { print \$1 }'")
ok "dpkg finds every file as packed" same "" <(inside dpkg -V scimshim)

# ---- the installed program
ok "it runs" has "scimshim " <(inside scimshim --version)
ok "it finds its adapters" has "/usr/share/scimshim/adapters/snipe-it.yaml" <(inside scimshim adapters)
ok "it provisions somebody in the demonstration" inside scimshim demo --data /tmp/demo
for page in scimshim.8 scimshim-serve.8 scimshim.yaml.5 scimshim-adapter.5; do
    ok "man page $page" inside sh -c "zcat /usr/share/man/man${page##*.}/$page.gz | grep -q '^.TH '"
done
ok "bash completes it" inside bash -c '. /usr/share/bash-completion/completions/scimshim && complete -p scimshim'
ok "as packed the configuration is refused" not inside scimshim check --offline
# The unit's own condition, with the shell's words for systemd's.
condition() { sh -c "chroot '$root' $(sed -n 's/^ExecCondition=//p' "$root/usr/lib/systemd/system/scimshim.service")"; }
ok "as packed the unit does not start" not condition

# ---- configured
printf 'public_url: https://scim.example.com\n' >>"$root/etc/scimshim/config.yaml"
printf 'secret\n' >"$root/etc/scimshim/secrets/db-password"
printf 'adapter: mine\n' >"$root/etc/scimshim/adapters/mine.yaml"
inside chmod 0700 /etc/scimshim/secrets
ok "with a setting the unit starts" condition
cp "$root/etc/scimshim/config.yaml" "$work/edited"

# ---- upgraded
next_version
: >"$root/recorded"
ok "upgrades" install_deb "$work/scimshim_99.0.0-1.deb"
ok "what was edited stays" cmp "$work/edited" "$root/etc/scimshim/config.yaml"
ok "what is new lies beside it" has "A line of the next version" "$root/etc/scimshim/config.yaml.dpkg-dist"
ok "its owner and mode stay" same "640 root:scimshim" <(inside_mode /etc/scimshim/config.yaml)
ok "an administrator's mode stays" same "700 root:scimshim" <(inside_mode /etc/scimshim/secrets)
ok "secrets and own adapters stay" inside test -e /etc/scimshim/secrets/db-password -a -e /etc/scimshim/adapters/mine.yaml
ok "it is restarted if it runs, and neither started nor stopped" \
    same "try-restart scimshim.service" <(asked)
ok "no welcome a second time" not has "Next:" "$work/install"

# ---- removed, and back
: >"$root/recorded"
ok "is removed" inside apt-get -qy remove scimshim
ok "and stopped before" same "stop scimshim.service" <(asked)
ok "configuration and secrets stay" inside test -e /etc/scimshim/config.yaml -a -e /etc/scimshim/secrets/db-password
ok "the program is gone" not inside test -e /usr/bin/scimshim
ok "comes back" install_deb "$work/scimshim_99.0.0-1.deb"
ok "with what was edited" cmp "$work/edited" "$root/etc/scimshim/config.yaml"

# ---- purged
mkdir -p "$root/var/lib/scimshim" && touch "$root/var/lib/scimshim/state"
ok "is purged" inside apt-get -qy purge scimshim
rm -rf "$root/tmp/demo"
everything >"$work/after"
ok "purging leaves nothing but the user" same \
    "$(printf '%s\n' /etc/group- /etc/gshadow- /etc/passwd- /etc/shadow- | comm -13 "$work/before" - )" <(comm -13 "$work/before" "$work/after")
ok "and takes nothing else" same "" <(comm -23 "$work/before" "$work/after")
ok "the user is there" inside getent passwd scimshim

# ---- an untouched configuration follows the package
ok "installs again" install_deb "$deb"
ok "upgrades unedited" install_deb "$work/scimshim_99.0.0-1.deb"
ok "an unedited configuration is the new one" has "A line of the next version" "$root/etc/scimshim/config.yaml"
ok "and as closed as the old" same "640 root:scimshim" <(inside_mode /etc/scimshim/config.yaml)
