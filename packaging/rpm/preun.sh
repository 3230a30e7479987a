if [ "$1" -eq 0 ]; then
    systemctl --no-reload disable scimshim.service >/dev/null 2>&1 || :
    [ ! -d /run/systemd/system ] || systemctl stop scimshim.service || :
fi
exit 0
