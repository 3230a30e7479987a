if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    # After an upgrade: again, if it was running.
    [ "$1" -lt 1 ] || systemctl try-restart scimshim.service || :
fi
# After a removal: folders that hold nothing. What an administrator put there stays.
[ "$1" -ge 1 ] || rmdir /etc/scimshim/secrets /etc/scimshim/tls /etc/scimshim/adapters /etc/scimshim \
    /usr/share/scimshim/adapters /usr/share/scimshim 2>/dev/null || :
exit 0
