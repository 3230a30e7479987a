# The same .deb on Debian 13, whose libraries are newer. Sourced by scripts/test-packages.

fresh trixie
ok "installs with what it depends on" install_deb "$deb"
ok "needs no library that is not there" not has "not found" <(inside ldd /usr/bin/scimshim)
ok "provisions somebody in the demonstration" inside scimshim demo --data /tmp/demo
ok "is not enabled" not inside sh -c 'ls /etc/systemd/system/*.wants/scimshim.service'
ok "systemd understands the unit" inside systemd-analyze verify --man=no /usr/lib/systemd/system/scimshim.service
ok "is purged" inside apt-get -qy purge scimshim
ok "and leaves no configuration" not inside test -e /etc/scimshim
