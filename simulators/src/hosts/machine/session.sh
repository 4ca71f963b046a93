# One command on a simulated machine, as the user who logged in. `root` owns the machine; everyone
# else is the user id 1000 and may use sudo. There is no network.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
inside=$(cat /run/machine/inside)
told=/etc/simulated
if [ -s $told/refuse ]; then
  left=$(cat $told/refuse)
  if [ "$left" -gt 1 ]; then echo $((left - 1)) >$told/refuse; else rm -f $told/refuse; fi
  exit 255
fi
[ ! -s $told/slow ] || sleep "$(cat $told/slow)"
command=$SSH_ORIGINAL_COMMAND
[ -n "$command" ] || { echo "This simulated machine has no terminal." >&2; exit 126; }
unset SSH_ORIGINAL_COMMAND
export PATH
cd "$HOME" 2>/dev/null || cd /
# The holder may not have made its namespaces yet.
until [ "$(readlink "/proc/$inside/ns/user")" != "$(readlink /proc/self/ns/user)" ] &&
  [ "$(cat "/proc/$inside/comm")" = sleep ]; do
  sleep 0.01
done
[ "$USER" = root ] ||
  exec nsenter --user --net --preserve-credentials --target "$inside" -- \
    unshare --user --map-user=1000 --map-group=1000 -- /bin/sh -c "$command"
exec nsenter --user --net --preserve-credentials --target "$inside" -- /bin/sh -c "$command"
