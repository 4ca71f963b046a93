//! The disk of a simulated machine: a directory that becomes its root. Rule: it outlives the
//! machine's restarts, and never a new host key, for then the machine was laid anew.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
};

use super::HostSpec;

/// What a fresh machine has in `/usr/local/bin`; `docker` comes with its package.
const PROGRAMS: [(&str, &str); 5] = [
    ("bin/sudo", include_str!("machine/bin/sudo")),
    ("bin/cloud-init", include_str!("machine/bin/cloud-init")),
    ("bin/systemctl", include_str!("machine/bin/systemctl")),
    ("bin/apt-get", include_str!("machine/bin/apt-get")),
    ("lib/simulated/docker", include_str!("machine/bin/docker")),
];

const DIRECTORIES: [&str; 25] = [
    "dev",
    "etc",
    "etc/alternatives",
    "etc/simulated",
    "home",
    "home/admin",
    "local",
    "local/bin",
    "local/lib",
    "local/lib/simulated",
    "local/sbin",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "srv",
    "tmp",
    "usr",
    "var",
    "var/cache",
    "var/lib",
    "var/lib/dpkg",
    "var/log",
    "var/tmp",
];

/// The disk of a machine below `base`, laid where it is not there or not of this machine any more.
/// `owner`: who it belongs to, where that is not whoever runs the simulator.
pub(super) fn disk(base: &Path, spec: &HostSpec, uid: u32, owner: Option<u32>) -> io::Result<PathBuf> {
    let place = base.join(format!("disk-{}", spec.id));
    let (root, laid) = (place.join("root"), place.join("host_key"));
    if fs::read_to_string(&laid).is_ok_and(|key| key == spec.host_key) {
        return Ok(root);
    }
    match fs::remove_dir_all(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir(&place)?,
    }
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    let made = |path: &Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        owner.map_or(Ok(()), |owner| chown(path, Some(owner), Some(owner)))
    };
    fs::create_dir(&root)?;
    made(&root, 0o755)?;
    for name in DIRECTORIES {
        fs::create_dir(root.join(name))?;
        made(&root.join(name), if name.ends_with("tmp") { 0o1777 } else { 0o755 })?;
    }
    system(&root)?;
    let write = |name: &str, text: &str, mode: u32| {
        fs::write(root.join(name), text)?;
        made(&root.join(name), mode)
    };
    // The server sees the real user id under both names, and a session its own.
    let passwd = format!(
        "root:x:{uid}:{uid}::/root:/bin/sh\nadmin:x:{uid}:{uid}::/home/admin:/bin/sh\n\
         root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/home/admin:/bin/sh\n"
    );
    write("etc/passwd", &passwd, 0o644)?;
    write("etc/group", &format!("root:x:0:\nadmin:x:1000:\nmachine:x:{uid}:\n"), 0o644)?;
    write("etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n", 0o644)?;
    write("etc/hostname", &format!("{}\n", spec.name), 0o644)?;
    write("etc/hosts", "127.0.0.1 localhost\n", 0o644)?;
    write("etc/os-release", "ID=debian\nVERSION_ID=\"13\"\nPRETTY_NAME=\"Debian GNU/Linux 13 (simulated)\"\n", 0o644)?;
    for (name, text) in PROGRAMS {
        write(&format!("local/{name}"), text, 0o755)?;
    }
    for name in ["dev/null", "dev/zero", "dev/urandom"] {
        write(name, "", 0o644)?;
    }
    // Last, so that a disk is whole or laid again.
    fs::write(&laid, &spec.host_key)?;
    fs::set_permissions(&laid, fs::Permissions::from_mode(0o600))?;
    Ok(root)
}

/// What is beside `/usr` on the real machine: links into it, or places for what is there.
fn system(root: &Path) -> io::Result<()> {
    for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        let real = Path::new("/").join(name);
        match fs::read_link(&real) {
            Ok(link) => symlink(link, root.join(name))?,
            Err(_) if real.is_dir() => fs::create_dir(root.join(name))?,
            Err(_) => {}
        }
    }
    symlink("/proc/self/fd", root.join("dev/fd"))?;
    symlink("urandom", root.join("dev/random"))
}
