# A task of Hangar's on this machine: started once, its output kept within bounds, its end written
# down. All that is known of it stands beside this file. Whoever holds `lock` is its one run; what
# has begun and neither holds it nor has written `end` was cut off, and is never run again.
umask 077
here=${0%/*}
verb=$1
shift
LC_ALL=C
export PATH LC_ALL
cd "$here" || exit 74

# Tells this start of the machine from the one before.
boot() {
  cat /proc/sys/kernel/random/boot_id
  cut -d ' ' -f 22 /proc/1/stat
}

# Standard input into files that stay small: `$1.new`, and in `$1.old` the last 64 KiB before it.
keep() {
  : >"$1.old"
  while :; do
    # With a full disk the script goes on, unheard; what was heard before stays.
    dd of="$1.new" bs=8192 count=512 2>/dev/null || cat >/dev/null
    [ -s "$1.new" ] || break
    if cat "$1.old" "$1.new" | tail -c 65536 >"$1.tmp"; then
      mv -f "$1.tmp" "$1.old"
      : >"$1.new"
    else
      # A new name takes no room.
      rm -f "$1.tmp"
      mv -f "$1.new" "$1.old"
    fi
  done
}

# The end of an output, and a byte more where something came before it.
show() {
  cat "$1.old" "$1.new" 2>/dev/null | tail -c 10241 2>/dev/null
}

# Ends everything that the script started, unless it fled into a session of its own.
end_all() {
  group=
  [ ! -e group ] || read -r group <group
  [ -n "$group" ] && kill "-$1" "-$group" 2>/dev/null
}

case $verb in
start)
  id=$1
  shift
  if [ ! -d started ]; then
    for it in cat cut dd env flock mkfifo mv setsid sync tail timeout; do
      command -v "$it" >/dev/null || { echo "the command $it is missing" >&2; exit 69; }
    done
    set -- /bin/sh "$here/tool" run "$@"
    if ! { [ -d /run/systemd/system ] && command -v systemd-run >/dev/null && systemd-run --quiet --collect \
      --unit="hangar-task-$id" --setenv="PATH=$PATH" -- "$@" </dev/null >/dev/null 2>&1; }; then
      setsid "$@" </dev/null >/dev/null 2>&1 &
    fi
    tries=0
    until [ -d started ] || [ "$tries" -ge 600 ]; do
      sleep 0.02 2>/dev/null || sleep 1
      tries=$((tries + 1))
    done
  fi
  [ -d started ] || { echo "it did not start" >&2; exit 75; }
  # What nobody asks for any more; never what has not ended.
  find "${here%/*}" -mindepth 2 -maxdepth 2 -name end -mtime +30 2>/dev/null | while read -r it; do
    rm -rf "${it%/end}"
  done
  echo "hangar-task started"
  ;;

run)
  limit=$1
  merged=$2
  exec 9>>lock
  timeout 60 flock 9 || exit 75
  [ ! -d started ] || exit 0
  rm -f out.pipe err.pipe
  mkfifo out.pipe err.pipe || exit 74
  # Room for what will have to be said, should the script fill the disk: it is written in place.
  for it in group.tmp code.tmp end.tmp; do
    printf '%31s\n' '' >"$it" || exit 75
  done
  mkdir started || exit 0
  boot >started/boot
  # A machine that loses its power must still know that it began.
  sync started . 2>/dev/null || sync
  read -r uptime _ </proc/uptime
  began=${uptime%.*}
  keep out <out.pipe 9>&- &
  keepers=$!
  set -- setsid timeout -k 10 "$limit" env -i "PATH=$PATH" HOME=/root USER=root LOGNAME=root SHELL=/bin/sh \
    LANG=C.UTF-8 /bin/sh "$here/tool" inner
  if [ "$merged" = 1 ]; then
    "$@" </dev/null >out.pipe 2>&1 9>&-
  else
    keep err <err.pipe 9>&- &
    keepers="$keepers $!"
    "$@" </dev/null >out.pipe 2>err.pipe 9>&-
  fi
  read -r uptime _ </proc/uptime
  took=$((${uptime%.*} - began + 1))
  end_all KILL
  # What fled may hold the pipes open for ever.
  { sleep 5; kill $keepers; } >/dev/null 2>&1 9>&- &
  guard=$!
  wait $keepers
  kill "$guard" 2>/dev/null
  code=
  [ -e termed ] || [ ! -e code ] || read -r code <code
  # Whatever is no number is no success.
  case $code in '' | *[!0-9]*) code=- ;; esac
  late=0
  [ "$code" != - ] || [ "$took" -lt "$limit" ] || late=1
  echo "$code $late" 1<>end.tmp
  sync end.tmp 2>/dev/null || sync
  mv -f end.tmp end
  rm -f script out.pipe err.pipe
  ;;

inner)
  # The last words of a script that is told to end are waited for, up to `timeout -k`.
  trap ': >"$here/termed"' TERM
  read -r _ _ _ _ group _ </proc/self/stat
  echo "$group" 1<>group.tmp
  mv -f group.tmp group
  unset LC_ALL
  cd "$HOME" 2>/dev/null || cd /
  # What this shell says of a script that a signal killed is not the script's.
  exec 8>&2 2>/dev/null
  (
    exec 2>&8 8>&-
    exec /bin/sh "$here/script"
  )
  echo $? 1<>"$here/code.tmp"
  mv -f "$here/code.tmp" "$here/code"
  ;;

look)
  state=none
  code=-
  late=0
  if [ -d started ]; then
    [ -e end ] || timeout "$1" flock -s lock true
    if [ -e end ]; then
      state=ended
    elif flock -s -n lock true; then
      state=lost
      [ ! -e end ] || state=ended
    else
      state=running
    fi
  fi
  [ "$state" != ended ] || read -r code late <end
  head="$state ${code:--} ${late:-0}"
  # Never a group of the same number after a restart, nor twice.
  [ "$state" != lost ] || [ "$(boot)" != "$(cat started/boot)" ] || { end_all KILL; rm -f group; }
  for it in out err; do
    view=$it.view.$$
    if ! show $it >"$view"; then
      # Where the disk is full, memory may not be.
      rm -f "$view"
      view=/run/hangar-$view
      show $it >"$view"
    fi
    size=$(($(wc -c <"$view")))
    cut=0
    [ "$size" -le 10240 ] || { cut=1; size=10240; }
    head="$head $size $cut"
  done
  echo "hangar-task $head"
  for it in out err; do
    view=$it.view.$$
    [ -e "$view" ] || view=/run/hangar-$view
    tail -c 10240 "$view"
    rm -f "$view"
  done
  ;;

forget)
  if [ -d started ] && ! flock -s -n lock true; then
    end_all TERM
    timeout 10 flock -s lock true || { end_all KILL; timeout 10 flock -s lock true; }
  fi
  cd / || exit
  # A look may still be at it, and another run of the same id may begin.
  gone=$here.gone.$$
  mv "$here" "$gone" || exit
  rm -rf "$gone" || { sleep 1; rm -rf "$gone"; }
  ;;
esac
