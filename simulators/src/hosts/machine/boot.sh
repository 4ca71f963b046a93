# Boots a simulated machine: as the root of namespaces of its own, makes its disk the root
# directory, with the programs of the real machine readable in it and nothing of the real machine
# writable, and goes on as the server without any privileges.
# Arguments: disk, directory of the server's files, user id, name, the server and its arguments.
set -eu
disk=$1 files=$2 uid=$3 name=$4
shift 4
umask 022
read_only() {
  mkdir -p "$2"
  mount --rbind "$1" "$2"
  mount -o remount,bind,ro "$2"
}
hostname "$name" 2>/dev/null || :
mount --bind "$disk" "$disk"
cd "$disk"
for it in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$it" ]; then
    [ -L "$it" ] || ln -s "$(readlink "/$it")" "$it"
  elif [ -d "/$it" ]; then
    read_only "/$it" "$it"
  fi
done
read_only /usr usr
[ ! -d /etc/alternatives ] || read_only /etc/alternatives etc/alternatives
mkdir -p local
mount --bind local usr/local
mount -t tmpfs -o mode=755,size=1m dev dev
for it in null zero full random urandom; do
  : >"dev/$it"
  mount --bind "/dev/$it" "dev/$it"
done
ln -s /proc/self/fd dev/fd
# Where a container hides parts of its own, another is refused.
mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
mount -t tmpfs -o mode=755,size=64m run run
read_only "$files" run/simulated
mkdir -p run/before run/machine run/lock
cp /proc/uptime run/machine/booted
pivot_root . run/before
umount -l /run/before
rmdir /run/before
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
