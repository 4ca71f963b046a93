//! The browser part: built-in files, or a folder while developing. The rule: only what the build's
//! `manifest.json` names is handed out, and what carries its hash in the address is kept for ever.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use rust_embed::RustEmbed;
use serde::Deserialize;

use crate::http::{access::wants_html, frame::is_machine, pages, problem::Failure, state::AppState};

/// What the build left behind; in a debug build read from the folder at run time.
#[derive(RustEmbed)]
#[folder = "$CARGO_MANIFEST_DIR/../target/site"]
#[allow_missing = true]
struct BuiltIn;

const MANIFEST: &str = "manifest.json";

#[derive(Debug, Clone, Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Deserialize)]
struct Entry {
    hash: String,
    br: Option<u64>,
}

/// The site.
#[derive(Debug)]
pub(crate) struct Site {
    folder: Option<PathBuf>,
    built_in: OnceLock<Manifest>,
}

impl Site {
    /// The site in `folder`, or the built-in one.
    pub fn open(folder: Option<PathBuf>) -> Self {
        Self { folder, built_in: OnceLock::new() }
    }

    fn bytes(&self, path: &str) -> Option<Cow<'static, [u8]>> {
        match &self.folder {
            Some(folder) => std::fs::read(folder.join(Path::new(path))).ok().map(Cow::Owned),
            None => BuiltIn::get(path).map(|file| file.data),
        }
    }

    fn manifest(&self) -> Cow<'_, Manifest> {
        let read = || self.bytes(MANIFEST).and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        // A folder is rebuilt under our feet; what is built in stays as it is.
        if self.folder.is_some() || cfg!(debug_assertions) {
            Cow::Owned(read())
        } else {
            Cow::Borrowed(self.built_in.get_or_init(read))
        }
    }

    /// The versions that the document puts into its addresses.
    pub fn versions(&self) -> app::Assets {
        let manifest = self.manifest();
        let hash = |path: &str| manifest.files.get(path).map(|e| e.hash.clone()).unwrap_or_default();
        app::Assets { js: hash("pkg/hangar.js"), wasm: hash("pkg/hangar_bg.wasm"), css: hash("pkg/hangar.css") }
    }

    fn answer(&self, path: &str, query: Option<&str>, headers: &HeaderMap) -> Option<Response> {
        let path = path.trim_start_matches('/');
        let manifest = self.manifest();
        let entry = manifest.files.get(path)?;
        let etag = format!("\"{}\"", entry.hash);
        let kept = query.is_some_and(|q| q.split('&').any(|p| p.strip_prefix("v=") == Some(entry.hash.as_str())));
        let caching = if kept { "public, max-age=31536000, immutable" } else { "no-cache" };
        let mut response = if headers.get(header::IF_NONE_MATCH).is_some_and(|v| v.as_bytes() == etag.as_bytes()) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let packed = entry.br.is_some() && takes_brotli(headers);
            let packed = if packed { self.bytes(&format!("{path}.br")) } else { None };
            let is_packed = packed.is_some();
            let mut response = Response::new(Body::from(packed.or_else(|| self.bytes(path))?.into_owned()));
            let kind = mime_guess::from_path(path).first_or_octet_stream();
            let kind = match kind.type_().as_str() {
                "text" => format!("{kind}; charset=utf-8"),
                _ => kind.to_string(),
            };
            if let Ok(value) = HeaderValue::from_str(&kind) {
                response.headers_mut().insert(header::CONTENT_TYPE, value);
            }
            if is_packed {
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            }
            response
        };
        let out = response.headers_mut();
        out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if let Ok(value) = HeaderValue::from_str(&etag) {
            out.insert(header::ETAG, value);
        }
        Some(response)
    }
}

fn takes_brotli(headers: &HeaderMap) -> bool {
    headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(
        |part| {
            let mut words = part.split(';').map(str::trim);
            words.next() == Some("br") && !words.any(|w| matches!(w, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        },
    )
}

/// What no route answers: a file of the site, or nothing.
pub(crate) async fn fallback(State(state): State<AppState>, request: Request) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let uri = request.uri();
        if let Some(response) = state.site.answer(uri.path(), uri.query(), request.headers()) {
            return response;
        }
    }
    if request.method() == Method::GET && wants_html(request.headers()) && !is_machine(request.uri().path()) {
        return pages::not_found(state, request).await;
    }
    Failure::no_route().into_response()
}

#[cfg(test)]
mod tests {

    use super::*;

    fn site() -> (tempfile::TempDir, Site) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pkg")).unwrap();
        std::fs::write(dir.path().join("pkg/hangar.js"), "js").unwrap();
        std::fs::write(dir.path().join("pkg/hangar.js.br"), "packed").unwrap();
        std::fs::write(dir.path().join("secret.txt"), "not in the manifest").unwrap();
        let manifest = r#"{"mode":"dev","files":{"pkg/hangar.js":{"hash":"0f3c","bytes":2,"br":6}}}"#;
        std::fs::write(dir.path().join(MANIFEST), manifest).unwrap();
        let site = Site::open(Some(dir.path().to_owned()));
        (dir, site)
    }

    fn get(site: &Site, path: &str, query: Option<&str>, pairs: &[(&'static str, &str)]) -> Option<Response> {
        let headers: HeaderMap =
            pairs.iter().map(|(k, v)| (header::HeaderName::from_static(k), v.parse().unwrap())).collect();
        site.answer(path, query, &headers)
    }

    fn value(response: &Response, name: header::HeaderName) -> &str {
        response.headers().get(name).map_or("", |v| v.to_str().unwrap())
    }

    #[test]
    fn only_what_the_manifest_names() {
        let (_dir, site) = site();
        assert!(get(&site, "/pkg/hangar.js", None, &[]).is_some());
        for other in ["/secret.txt", "/manifest.json", "/pkg/hangar.js.br", "/../Cargo.toml", "/pkg/../secret.txt", "/"]
        {
            assert!(get(&site, other, None, &[]).is_none(), "{other}");
        }
        assert_eq!(site.versions().js, "0f3c");
    }

    #[test]
    fn kept_for_ever_only_under_its_hash() {
        let (_dir, site) = site();
        let caching =
            |query| value(&get(&site, "/pkg/hangar.js", query, &[]).unwrap(), header::CACHE_CONTROL).to_owned();
        assert!(caching(Some("v=0f3c")).contains("immutable"));
        assert_eq!(caching(Some("v=other")), "no-cache");
        assert_eq!(caching(None), "no-cache");
        let again = get(&site, "/pkg/hangar.js", None, &[("if-none-match", "\"0f3c\"")]).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn packed_for_whoever_takes_it() {
        let (_dir, site) = site();
        let encoding = |accept| {
            let response = get(&site, "/pkg/hangar.js", None, &[("accept-encoding", accept)]).unwrap();
            value(&response, header::CONTENT_ENCODING).to_owned()
        };
        assert_eq!(encoding("gzip, br"), "br");
        assert_eq!(encoding("gzip"), "");
        assert_eq!(encoding("br;q=0, gzip"), "");
    }
}
