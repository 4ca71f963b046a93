# Boots a simulated machine: as the root of namespaces of its own, makes its disk the root
# directory, with the programs of the real machine readable in it and nothing of the real machine
# writable, and goes on as the server without any privileges.
# Arguments: disk, directory of the server's files, user id, name, the server and its arguments.
# Few commands: many machines may start at once.
set -eu
disk=$1 files=$2 uid=$3 name=$4
shift 4
umask 022
hostname "$name" 2>/dev/null || :
mount --bind "$disk" "$disk"
cd "$disk"
# Where the real machine has these as links to /usr, so has the disk.
for it in bin sbin lib lib32 lib64 libx32; do
  if [ -d "$it" ] && [ ! -L "$it" ]; then mount -o rbind,ro "/$it" "$it"; fi
done
mount -o rbind,ro /usr usr
[ ! -d /etc/alternatives ] || mount -o rbind,ro /etc/alternatives etc/alternatives
mount --bind local usr/local
for it in null zero urandom; do
  mount --bind "/dev/$it" "dev/$it"
done
# Where a container hides parts of its own, another is refused.
mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
mount -t tmpfs -o mode=755,size=64m run run
mkdir -p run/simulated run/before run/machine run/lock
mount -o bind,ro "$files" run/simulated
read -r up _ </proc/uptime
echo "$up" >run/machine/booted
pivot_root . run/before
umount -l /run/before
cd /
ulimit -c 0
# No file larger than 256 MiB.
ulimit -f 524288
# shellcheck disable=SC2016
exec unshare --user --map-user="$uid" --map-group="$uid" -- /bin/sh -c '
  # What all sessions share: a user id 0 that owns the disk, and no network.
  unshare --user --map-root-user --net -- sleep infinity &
  echo $! >/run/machine/inside
  exec "$@"' sh "$@"
