//! What the keyboard and clicks do on every page: `/` goes to the filter, `?` opens the help, Escape
//! leaves a filter; a click on `data-copy` copies it and one on
//! `data-copy-of` the text of that element; dialogs open and close also where the browser
//! does not know `command`. The rule: listened to once, on the window, and only in the browser.

use std::time::Duration;

use leptos::{ev, prelude::*};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Element, Event, HtmlDialogElement, HtmlElement, KeyboardEvent,
    js_sys::{Function, Reflect},
};

/// The help dialog's id.
pub(super) const HELP: &str = "help";

/// Begins to listen, in the browser.
pub(super) fn listen() {
    Effect::new(|_| {
        let keys = window_event_listener(ev::keydown, on_key);
        let clicks = window_event_listener(ev::click, |ev| on_click(&ev));
        on_cleanup(move || {
            keys.remove();
            clicks.remove();
        });
    });
}

/// Closes the dialog around what the event came from.
pub fn close_around(ev: &Event) {
    if let Some(dialog) = target(ev).and_then(|from| from.closest("dialog").ok().flatten()) {
        dialog.unchecked_into::<HtmlDialogElement>().close();
    }
}

fn target(ev: &Event) -> Option<Element> {
    ev.target()?.dyn_into().ok()
}

fn on_key(ev: KeyboardEvent) {
    let from = target(&ev);
    let typing = from.as_ref().is_some_and(|from| {
        matches!(from.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT") || from.has_attribute("contenteditable")
    });
    if ev.key() == "Escape" && from.as_ref().is_some_and(|from| from.id() == "filter") {
        if let Some(field) = from.and_then(|from| from.dyn_into::<HtmlElement>().ok()) {
            // An element that has the focus can give it up.
            let _ = field.blur();
        }
        return;
    }
    if typing || ev.ctrl_key() || ev.meta_key() || ev.alt_key() {
        return;
    }
    match ev.key().as_str() {
        "/" => {
            if let Some(field) = by_id("filter").and_then(|field| field.dyn_into::<HtmlElement>().ok()) {
                ev.prevent_default();
                // A field that is shown can take the focus.
                let _ = field.focus();
            }
        }
        "?" => {
            ev.prevent_default();
            show(HELP);
        }
        _ => {}
    }
}

fn on_click(ev: &Event) {
    let Some(from) = target(ev) else { return };
    if let Some(button) = from.closest("[data-copy], [data-copy-of]").ok().flatten() {
        copy(&button);
    }
    if let Some(menu) = from.closest("a").ok().flatten().and_then(|link| link.closest("[popover]").ok().flatten()) {
        hide(&menu);
    }
    if knows_commands() {
        return;
    }
    if let Some(button) = from.closest("button[commandfor]").ok().flatten()
        && let Some(id) = button.get_attribute("commandfor")
    {
        match button.get_attribute("command").as_deref() {
            Some("show-modal") => show(&id),
            Some("close") => {
                if let Some(dialog) = by_id(&id) {
                    dialog.unchecked_into::<HtmlDialogElement>().close();
                }
            }
            _ => {}
        }
    }
}

fn by_id(id: &str) -> Option<Element> {
    document().get_element_by_id(id)
}

fn show(id: &str) {
    if let Some(dialog) = by_id(id).map(|dialog| dialog.unchecked_into::<HtmlDialogElement>())
        && !dialog.open()
    {
        // A dialog that is not open can be opened.
        let _ = dialog.show_modal();
    }
}

/// Hides a popover once what it offers was chosen.
fn hide(menu: &Element) {
    if let Ok(hide) = Reflect::get(menu, &JsValue::from_str("hidePopover")).and_then(|hide| hide.dyn_into::<Function>())
    {
        // A popover that is shown can be hidden.
        let _ = hide.call0(menu);
    }
}

/// Gives the focus to the page whenever another one is shown, so that the keyboard and screen
/// readers begin at its top.
pub(super) fn follow(path: Memo<String>) {
    Effect::new(move |before: Option<String>| {
        let path = path.get();
        if before.is_some_and(|before| before != path)
            && let Some(main) = by_id("main").and_then(|main| main.dyn_into::<HtmlElement>().ok())
        {
            // It carries a tabindex for this.
            let _ = main.focus();
        }
        path
    });
}

/// Whether the browser opens dialogs by itself.
fn knows_commands() -> bool {
    Reflect::get(&web_sys::js_sys::global(), &JsValue::from_str("HTMLButtonElement"))
        .and_then(|class| Reflect::get(&class, &JsValue::from_str("prototype")))
        .and_then(|prototype| Reflect::has(&prototype, &JsValue::from_str("commandForElement")))
        .unwrap_or(false)
}

fn copy(button: &Element) {
    let of = || by_id(&button.get_attribute("data-copy-of")?)?.text_content();
    let Some(text) = button.get_attribute("data-copy").or_else(of) else { return };
    let navigator = window().navigator();
    // Only secure pages may write to the clipboard; elsewhere there is none.
    let has =
        Reflect::get(&navigator, &JsValue::from_str("clipboard")).is_ok_and(|clipboard| !clipboard.is_undefined());
    if !has {
        return;
    }
    let _ = navigator.clipboard().write_text(&text);
    let _ = button.set_attribute("data-copied", "");
    let button = button.clone();
    set_timeout(
        move || {
            let _ = button.remove_attribute("data-copied");
        },
        Duration::from_millis(1_200),
    );
}
