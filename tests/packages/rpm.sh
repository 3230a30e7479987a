# The .rpm: file by file as packed, its scriptlets run by rpm itself, its program run. On Debian 12, for want of a Red Hat
# system: dependencies by name are compared with what RHEL 9 has, not resolved. Sourced by scripts/test-packages.

# The next version, made from a copy of what it is made from, with a line more in its configuration.
next_rpm() {
    rm -rf "$work/tree" && mkdir "$work/tree"
    git ls-files -z --cached --others --exclude-standard -- Cargo.toml adapters docs packaging README.md SECURITY.md CHANGELOG.md config.example.yaml \
        'LICENSE-*' src/main.rs src/lib.rs | xargs -0 cp --parents -t "$work/tree"
    mkdir -p "$work/tree/benches/speed" && touch "$work/tree/benches/speed/main.rs"
    echo "# A line of the next version." >>"$work/tree/packaging/config.yaml"
    (cd "$work/tree" && "$target/tools/bin/cargo-generate-rpm" generate-rpm --profile "$profile" --target-dir "$target" --auto-req builtin --payload-compress none \
        --set-metadata 'version = "99.0.0"' --output "$work/scimshim-99.rpm")
}
# The profile that the package was made with is the one whose files it holds.
profile=release
[ -e "$target/release/package/rpm/scimshim" ] && [ "$(rpm -qp --qf '[%{FILESIZES} %{FILENAMES}\n]' "$rpm" | sed -n 's, /usr/bin/scimshim$,,p')" = "$(stat -c %s "$target/release/package/rpm/scimshim")" ] || profile=quick

fresh bookworm rpm libssl3
record
on_rpm() { inside rpm --dbpath /var/lib/rpm "$@"; }
cp "$rpm" "$root/srv/scimshim.rpm"

# ---- what is asked of the system, and what RHEL 9 has
ok "needs no library but those of RHEL 9" same "" <(rpm -qp --requires "$rpm" |
    grep -vE '^(lib(c|m|gcc_s|ssl|crypto|z)\.so\.|ld-linux|rtld|rpmlib|config\(scimshim\)|/bin/sh|systemd$|shadow-utils$)' || true)
ok "no glibc newer than 2.34" same "GLIBC_2.34" <(rpm -qp --requires "$rpm" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
ok "says whose license" has "LGPL-2.1-or-later" <(rpm -qp --qf '%{LICENSE}\n' "$rpm")

# ---- installed
ok "installs" inside sh -c 'rpm --dbpath /var/lib/rpm -i --nodeps /srv/scimshim.rpm >/srv/installed'
ok "prints the next three commands" has "systemctl enable --now scimshim" "$root/srv/installed"
ok "rpm finds every file as packed" same "" <(on_rpm -V --nodeps scimshim)
ok "asks systemd for its presets and nothing else" same "--no-reload preset scimshim.service" <(asked)
ok "the user cannot log in" has "/sbin/nologin" <(inside getent passwd scimshim)
ok "the configuration is for root and the service" same "640 root:scimshim" <(inside_mode /etc/scimshim/config.yaml)
ok "the secrets are closed" same "750 root:scimshim" <(inside_mode /etc/scimshim/secrets)
ok "the keys are closed" same "750 root:scimshim" <(inside_mode /etc/scimshim/tls)
for path in /usr/lib/systemd/system/scimshim.service /usr/lib/systemd/system/scimshim.service.d/plugins.conf /usr/lib/sysusers.d/scimshim.conf \
    /usr/share/man/man8/scimshim.8.gz /usr/share/man/man5/scimshim.yaml.5.gz /usr/share/man/man5/scimshim-adapter.5.gz \
    /usr/share/bash-completion/completions/scimshim /usr/share/zsh/site-functions/_scimshim /usr/share/fish/vendor_completions.d/scimshim.fish \
    /usr/share/scimshim/adapters/snipe-it.yaml /usr/share/scimshim/adapters/glpi.yaml /usr/share/licenses/scimshim/LICENSE-MIT \
    /usr/share/doc/scimshim/examples/config.example.yaml /usr/share/doc/scimshim/docs/mapping.md /usr/share/doc/scimshim/docs/providers/entra.md; do
    ok "$path" same "644 root:root" <(inside_mode "$path")
done

# ---- the installed program, without any libmariadb on the system
ok "no libmariadb is here" not inside sh -c 'ls /usr/lib/*/libmariadb.so.3'
ok "it runs" has "scimshim " <(inside scimshim --version)
ok "it finds its adapters" has "/usr/share/scimshim/adapters/snipe-it.yaml" <(inside scimshim adapters)
ok "it provisions somebody in the demonstration" inside scimshim demo --data /tmp/demo

# ---- upgraded
ok "the next version is made" next_rpm
cp "$work/scimshim-99.rpm" "$root/srv/"
printf 'public_url: https://scim.example.com\n' >>"$root/etc/scimshim/config.yaml"
cp "$root/etc/scimshim/config.yaml" "$work/edited"
printf 'secret\n' >"$root/etc/scimshim/secrets/db-password"
inside chmod 0700 /etc/scimshim/secrets
: >"$root/recorded"
ok "upgrades" on_rpm -U --nodeps /srv/scimshim-99.rpm
ok "what was edited stays" cmp "$work/edited" "$root/etc/scimshim/config.yaml"
ok "what is new lies beside it" has "A line of the next version" "$root/etc/scimshim/config.yaml.rpmnew"
ok "secrets and their mode stay" same "700 root:scimshim" <(inside_mode /etc/scimshim/secrets)
ok "it is restarted if it runs, and neither started nor stopped" same "try-restart scimshim.service" <(asked)

# ---- erased
: >"$root/recorded"
ok "is erased" on_rpm -e --nodeps scimshim
ok "and stopped and disabled before" same "$(printf '%s\n' "--no-reload disable scimshim.service" "stop scimshim.service")" <(asked)
ok "what was edited is kept" cmp "$work/edited" "$root/etc/scimshim/config.yaml.rpmsave"
ok "secrets are kept" inside test -e /etc/scimshim/secrets/db-password
ok "the program is gone" not inside test -e /usr/bin/scimshim -o -e /usr/share/scimshim
ok "the user is there" inside getent passwd scimshim
