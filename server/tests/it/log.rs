//! Everything that the tests' process logs, kept to be searched.

use std::{
    io::Write,
    sync::{Arc, Mutex, OnceLock},
};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

static KEPT: OnceLock<Kept> = OnceLock::new();

/// Keeps the log of this process from now on; everything of Hangar's own, the rest from debug up.
pub fn keep() {
    KEPT.get_or_init(|| {
        let kept = Kept::default();
        let writer = kept.clone();
        let filter = "debug,server=trace,store=trace,providers=trace,app=trace,h2=info,hyper_util=info,sqlx=debug";
        let set = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .try_init();
        assert!(set.is_ok(), "the log can be kept once");
        kept
    });
}

/// The lines that hold `needle`.
pub fn lines_with(needle: &str) -> Vec<String> {
    let bytes = KEPT.get().map(|kept| kept.0.lock().unwrap().clone()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().filter(|line| line.contains(needle)).map(str::to_owned).collect()
}
