//! What can be bought: locations, server types with their price at each location, images. Names
//! are the vendor's, prices near them. Rule: data and look-up only; nothing here changes.

/// A location.
pub(super) struct Location {
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) country: &'static str,
    pub(super) city: &'static str,
    pub(super) latitude: f64,
    pub(super) longitude: f64,
    pub(super) network_zone: &'static str,
}

macro_rules! location {
    ($id:literal, $name:literal, $desc:literal, $cc:literal, $city:literal, $lat:literal, $lon:literal, $zone:literal) => {
        Location {
            id: $id,
            name: $name,
            description: $desc,
            country: $cc,
            city: $city,
            latitude: $lat,
            longitude: $lon,
            network_zone: $zone,
        }
    };
}

/// All locations.
pub(super) static LOCATIONS: [Location; 6] = [
    location!(1, "fsn1", "Falkenstein DC Park 1", "DE", "Falkenstein", 50.47612, 12.370071, "eu-central"),
    location!(2, "nbg1", "Nuremberg DC Park 1", "DE", "Nuremberg", 49.452102, 11.076665, "eu-central"),
    location!(3, "hel1", "Helsinki DC Park 1", "FI", "Helsinki", 60.169855, 24.938379, "eu-central"),
    location!(4, "ash", "Ashburn, VA", "US", "Ashburn, VA", 39.045821, -77.487073, "us-east"),
    location!(5, "hil", "Hillsboro, OR", "US", "Hillsboro, OR", 45.54222, -122.951924, "us-west"),
    location!(6, "sin", "Singapore", "SG", "Singapore", 1.283333, 103.833333, "ap-southeast"),
];

/// What a type costs at a location, in ten-thousandths of a euro, net.
#[derive(Clone, Copy)]
pub(super) struct Price {
    pub(super) location: &'static str,
    pub(super) hourly: u64,
    pub(super) monthly: u64,
    /// The vendor's indicator; a create may find no capacity all the same.
    pub(super) available: bool,
    pub(super) recommended: bool,
    /// When it was announced to go at this location, and when it goes.
    pub(super) deprecation: Option<(&'static str, &'static str)>,
}

/// The day the catalogue is of. What goes later than this can still be had.
pub(super) const AS_OF: &str = "2026-11-01T00:00:00Z";

/// A server type.
pub(super) struct ServerType {
    pub(super) id: u64,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) category: &'static str,
    pub(super) cores: u32,
    /// Gigabytes.
    pub(super) memory: u32,
    /// Gigabytes.
    pub(super) disk: u32,
    pub(super) cpu_type: &'static str,
    pub(super) architecture: &'static str,
    /// When it was announced to go, and when it went.
    pub(super) deprecation: Option<(&'static str, &'static str)>,
    pub(super) prices: &'static [Price],
}

const fn at(location: &'static str, hourly: u64, monthly: u64) -> Price {
    Price { location, hourly, monthly, available: true, recommended: true, deprecation: None }
}

/// On its way out at this location only, and still to be had.
const fn leaving(location: &'static str, hourly: u64, monthly: u64) -> Price {
    let deprecation = Some(("2026-10-01T06:00:00Z", "2027-01-01T06:00:00Z"));
    Price { location, hourly, monthly, available: true, recommended: false, deprecation }
}

const fn scarce(location: &'static str, hourly: u64, monthly: u64) -> Price {
    Price { location, hourly, monthly, available: false, recommended: false, deprecation: None }
}

macro_rules! server_type {
    ($id:literal, $name:literal, $category:literal, $cores:literal, $memory:literal, $disk:literal, $cpu:literal, $arch:literal, $deprecation:expr, [$($price:expr),* $(,)?]) => {
        ServerType {
            id: $id,
            name: $name,
            description: $name,
            category: $category,
            cores: $cores,
            memory: $memory,
            disk: $disk,
            cpu_type: $cpu,
            architecture: $arch,
            deprecation: $deprecation,
            prices: &[$($price),*],
        }
    };
}

/// All server types, one of them gone, one with a `cpu_type` that clients of today do not know.
pub(super) static SERVER_TYPES: [ServerType; 10] = [
    server_type!(
        104,
        "cx22",
        "cost_optimized",
        2,
        4,
        40,
        "shared",
        "x86",
        Some(("2025-10-16T06:00:00Z", "2026-01-01T00:00:00Z")),
        [scarce("fsn1", 60, 37_900), scarce("nbg1", 60, 37_900), scarce("hel1", 60, 37_900)]
    ),
    server_type!(
        114,
        "cx23",
        "cost_optimized",
        2,
        4,
        40,
        "shared",
        "x86",
        None,
        [at("fsn1", 56, 34_900), at("nbg1", 56, 34_900), at("hel1", 56, 34_900)]
    ),
    server_type!(
        115,
        "cx33",
        "cost_optimized",
        4,
        8,
        80,
        "shared",
        "x86",
        None,
        [at("fsn1", 88, 54_900), at("nbg1", 88, 54_900), at("hel1", 88, 54_900)]
    ),
    server_type!(
        116,
        "cx43",
        "cost_optimized",
        8,
        16,
        160,
        "shared",
        "x86",
        None,
        [at("fsn1", 152, 94_900), at("nbg1", 152, 94_900), scarce("hel1", 152, 94_900)]
    ),
    server_type!(
        108,
        "cpx22",
        "regular_purpose",
        2,
        4,
        80,
        "shared",
        "x86",
        None,
        [
            at("nbg1", 104, 64_900),
            at("hel1", 104, 64_900),
            at("ash", 160, 99_900),
            at("hil", 160, 99_900),
            at("sin", 176, 109_900)
        ]
    ),
    server_type!(
        109,
        "cpx32",
        "regular_purpose",
        4,
        8,
        160,
        "shared",
        "x86",
        None,
        [at("nbg1", 176, 109_900), at("hel1", 176, 109_900), at("ash", 256, 159_900), at("sin", 304, 189_900)]
    ),
    server_type!(
        45,
        "cax11",
        "cost_optimized",
        2,
        4,
        40,
        "shared",
        "arm",
        None,
        [at("fsn1", 61, 37_900), at("nbg1", 61, 37_900), at("hel1", 61, 37_900)]
    ),
    server_type!(
        93,
        "cax21",
        "cost_optimized",
        4,
        8,
        80,
        "shared",
        "arm",
        None,
        [at("fsn1", 104, 64_900), at("nbg1", 104, 64_900), leaving("hel1", 104, 64_900)]
    ),
    server_type!(
        96,
        "ccx13",
        "general_purpose",
        2,
        8,
        80,
        "dedicated",
        "x86",
        None,
        [
            at("fsn1", 200, 124_900),
            at("nbg1", 200, 124_900),
            at("hel1", 200, 124_900),
            at("ash", 225, 139_900),
            at("hil", 225, 139_900)
        ]
    ),
    server_type!(131, "cbx12", "burst_purpose", 2, 2, 20, "burstable", "x86", None, [at("hel1", 40, 24_900)]),
];

/// An image.
pub(super) struct Image {
    pub(super) id: u64,
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    pub(super) description: &'static str,
    pub(super) os_flavor: &'static str,
    pub(super) os_version: &'static str,
    pub(super) architecture: &'static str,
    pub(super) rapid_deploy: bool,
    pub(super) deprecation: Option<(&'static str, &'static str)>,
}

macro_rules! image {
    (@gone) => { None };
    (@gone $announced:literal, $gone:literal) => { Some(($announced, $gone)) };
    ($id:literal, $kind:literal, $name:literal, $desc:literal, $flavor:literal, $version:literal, $arch:literal $(, $announced:literal, $gone:literal)?) => {
        Image {
            id: $id,
            kind: $kind,
            name: $name,
            description: $desc,
            os_flavor: $flavor,
            os_version: $version,
            architecture: $arch,
            rapid_deploy: true,
            deprecation: image!(@gone $($announced, $gone)?),
        }
    };
}

/// All images, one of them on its way out, one of a flavour that clients of today do not know.
pub(super) static IMAGES: [Image; 12] = [
    image!(161547269, "system", "ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", "x86"),
    image!(161547270, "system", "ubuntu-24.04", "Ubuntu 24.04", "ubuntu", "24.04", "arm"),
    image!(384120011, "system", "ubuntu-26.04", "Ubuntu 26.04", "ubuntu", "26.04", "x86"),
    image!(384120012, "system", "ubuntu-26.04", "Ubuntu 26.04", "ubuntu", "26.04", "arm"),
    image!(114690387, "system", "debian-12", "Debian 12", "debian", "12", "x86"),
    image!(114690389, "system", "debian-12", "Debian 12", "debian", "12", "arm"),
    image!(310557660, "system", "debian-13", "Debian 13", "debian", "13", "x86"),
    image!(310557661, "system", "debian-13", "Debian 13", "debian", "13", "arm"),
    image!(307941910, "system", "rocky-10", "Rocky Linux 10", "rocky", "10", "x86"),
    image!(401200042, "system", "nixos-26.05", "NixOS 26.05", "nixos", "26.05", "x86"),
    image!(40093140, "app", "docker-ce", "Docker CE", "ubuntu", "24.04", "x86"),
    image!(
        45557056,
        "system",
        "debian-11",
        "Debian 11",
        "debian",
        "11",
        "x86",
        "2026-08-31T00:00:00Z",
        "2027-02-28T00:00:00Z"
    ),
];

/// A location by id or name.
pub(super) fn location(key: &str) -> Option<&'static Location> {
    LOCATIONS.iter().find(|it| it.name == key || it.id.to_string() == key)
}

/// A server type by id or name.
pub(super) fn server_type(key: &str) -> Option<&'static ServerType> {
    SERVER_TYPES.iter().find(|it| it.name == key || it.id.to_string() == key)
}

/// An image by id.
pub(super) fn image(id: u64) -> Option<&'static Image> {
    IMAGES.iter().find(|it| it.id == id)
}

/// An image by id, or by name for an architecture.
pub(super) fn image_for(key: &str, architecture: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|it| it.id.to_string() == key || (it.name == key && it.architecture == architecture))
}
