# RHEL 9's rpm does not make users from sysusers.d itself, and files of the package belong to this one's group.
getent group scimshim >/dev/null || groupadd --system scimshim
getent passwd scimshim >/dev/null ||
    useradd --system --gid scimshim --home-dir /var/lib/scimshim --no-create-home --shell /sbin/nologin --comment "SCIM service" scimshim
exit 0
