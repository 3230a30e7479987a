# Made here, because cargo-generate-rpm packs no empty folders. What an administrator changed stays as it is.
for dir in secrets tls; do
    [ -d /etc/scimshim/$dir ] || install -d -m 0750 -o root -g scimshim /etc/scimshim/$dir || :
done
[ -d /etc/scimshim/adapters ] || install -d -m 0755 /etc/scimshim/adapters || :
[ ! -d /run/systemd/system ] || systemctl daemon-reload || :
if [ "$1" -eq 1 ]; then
    # Enabled only where the distribution's or the site's presets say so; and then it starts once it is configured.
    systemctl --no-reload preset scimshim.service >/dev/null 2>&1 || :
    cat <<'NEXT'
scimshim does nothing until it is configured. Next:
  vi /etc/scimshim/config.yaml             (man scimshim.yaml)
  scimshim setup --apply && scimshim check
  systemctl enable --now scimshim
NEXT
fi
exit 0
