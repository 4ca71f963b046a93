//! The browser entry of Hangar: takes the page that the server drew over, and nothing else.

use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page that the server drew. Called by the page's own script after `init`.
#[wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
