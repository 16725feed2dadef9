# After the last package, before the site's files: keys and names that packages made for themselves (munge, ssl-cert, nvme-cli, open-iscsi). They
# are of one build, would be the same on every node, and the image is no place for a secret.
set -eu
root=$1
rm -f "$root/etc/munge/munge.key" "$root/etc/nvme/hostid" "$root/etc/nvme/hostnqn" "$root/etc/iscsi/initiatorname.iscsi"
rm -f "$root/etc/ssl/private/ssl-cert-snakeoil.key" "$root/etc/ssl/certs/ssl-cert-snakeoil.pem"
# By the hash of the certificate that is gone.
[ ! -d "$root/etc/ssl/certs" ] || find "$root/etc/ssl/certs" -xtype l -delete
