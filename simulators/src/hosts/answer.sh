#!/bin/sh
# What a simulated machine answers over SSH: a fixed list, by fixed words. It runs nothing that
# the caller names, reads nothing and writes nothing; everything else ends with 126.
set -f
# Words instead of the text: quoting and spacing of clients differ.
# shellcheck disable=SC2086
set -- $SSH_ORIGINAL_COMMAND

# A deadline in front changes nothing about what is asked.
if [ "$1" = timeout ]; then
  shift
  while [ $# -gt 0 ]; do
    case "$1" in
      -k|-s|--kill-after|--signal) shift 2 || set -- ;;
      -*) shift ;;
      *) shift; break ;;
    esac
  done
fi
case "$1 $2" in
  "sudo -n") shift 2; [ "$1" != -- ] || shift; [ $# -gt 0 ] || set -- sudo ;;
  "sudo "?*) shift ;;
esac
host=${HANGAR_SIMULATED_HOST:-simulated}

case "$*" in
  true|:) ;;
  "cloud-init status --wait"|"cloud-init status"|"cloud-init status --long"|"cloud-init status --wait --long")
    echo "status: done" ;;
  "cloud-init status --format json"|"cloud-init status --format=json"|"cloud-init status --wait --format json"|"cloud-init status --wait --format=json"|"cloud-init status --format json --wait"|"cloud-init status --format=json --wait")
    echo '{"status": "done", "extended_status": "done", "boot_status_code": "enabled-by-generator", "errors": [], "recoverable_errors": {}}' ;;
  "test -f /var/lib/cloud/instance/boot-finished"|"test -e /var/lib/cloud/instance/boot-finished") ;;
  "systemctl is-system-running"|"systemctl is-system-running --wait")
    echo running ;;
  "systemctl is-active docker"|"systemctl is-active ssh"|"systemctl is-active docker.service"|"systemctl is-active ssh.service")
    echo active ;;
  "systemctl is-active --quiet docker"|"systemctl is-active --quiet ssh") ;;
  "command -v docker"|"which docker")
    echo /usr/bin/docker ;;
  "command -v sudo"|"which sudo")
    echo /usr/bin/sudo ;;
  "command -v cloud-init"|"which cloud-init")
    echo /usr/bin/cloud-init ;;
  "command -v systemctl"|"which systemctl")
    echo /usr/bin/systemctl ;;
  "cloud-init --version") echo "/usr/bin/cloud-init 25.3" ;;
  "systemctl --version") echo "systemd 257 (257)" ;;
  "docker --version")
    echo "Docker version 28.5.1, build simulated" ;;
  "docker version --format {{.Server.Version}}"|"docker version --format '{{.Server.Version}}'"|"docker info --format {{.ServerVersion}}"|"docker info --format '{{.ServerVersion}}'"|"docker version -f {{.Server.Version}}")
    echo 28.5.1 ;;
  "docker compose version --short")
    echo 2.40.3 ;;
  "docker compose version")
    echo "Docker Compose version v2.40.3" ;;
  "docker ps -q"|"docker info"|"docker info >/dev/null"|"docker info >/dev/null 2>&1") ;;
  "uname -a")
    echo "Linux $host 6.12.0-simulated #1 SMP x86_64 GNU/Linux" ;;
  uname|"uname -s") echo Linux ;;
  "uname -r") echo 6.12.0-simulated ;;
  "uname -m") echo x86_64 ;;
  hostname|"hostname -f"|"hostname -s") echo "$host" ;;
  whoami) echo root ;;
  "id -u") echo 0 ;;
  "") echo "This simulated machine has no shell." >&2; exit 126 ;;
  *) echo "This simulated machine answers readiness probes only." >&2; exit 126 ;;
esac
exit 0
