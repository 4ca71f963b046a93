//! A real BIND 9 for tests; `dig` and `nsupdate` act on it as somebody else would.

mod named;

use std::process::Stdio;

pub use named::*;

impl Bind {
    /// Runs these lines of `nsupdate` in one zone, as other people.
    pub async fn update(&self, zone: &str, lines: &[String]) {
        // One message holds 64 KiB.
        for lines in lines.chunks(500) {
            let script = format!("server 127.0.0.1 {}\nzone {zone}\n{}\nsend\n", self.address.port(), lines.join("\n"));
            let key = format!("{}:{}:{}", OTHERS.algorithm, OTHERS.name, OTHERS.secret);
            let mut command = tokio::process::Command::new("nsupdate");
            let mut child =
                command.args(["-v", "-y", &key]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stdin, script.as_bytes()).await.unwrap();
            drop(stdin);
            let output = child.wait_with_output().await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }

    /// What `dig` prints with these arguments.
    pub async fn dig(&self, arguments: &[&str]) -> String {
        let port = self.address.port().to_string();
        let mut command = tokio::process::Command::new("dig");
        command.args(["@127.0.0.1", "-p", &port, "+tcp", "+time=20", "+tries=1"]).args(arguments);
        let output = command.output().await.unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The zone as `dig` transfers it, sorted, without its SOA.
    pub async fn records(&self, zone: &str) -> Vec<String> {
        let key = format!("{}:{}:{}", OTHERS.algorithm, OTHERS.name, OTHERS.secret);
        let text = self.dig(&[zone, "AXFR", "-y", &key, "+noall", "+answer", "+onesoa"]).await;
        let mut lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with(';') && !line.is_empty())
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.contains(" IN SOA "))
            .collect();
        assert!(!lines.is_empty(), "{text}");
        lines.sort();
        lines
    }

    /// The serial number in the zone's SOA.
    pub async fn serial(&self, zone: &str) -> String {
        self.dig(&[zone, "SOA", "+short"]).await.split(' ').nth(2).unwrap().to_owned()
    }
}
