//! One resource on a page: a skeleton while it loads the first time, then the data or the failure.
//! While it is asked for again the old data stays and changes in place. What did not reach the server is
//! asked for again by itself.

use std::time::Duration;

use domain::code::Code;
use leptos::{leptos_dom::helpers::set_timeout_with_handle, prelude::*};
use serde::{Serialize, de::DeserializeOwned};

use super::FaultView;
use crate::Fault;

/// How long after a request that did not arrive it is made again.
const AGAIN: Duration = Duration::from_secs(2);

/// Shows what a resource holds. Actions and signals that must outlive a refetch belong outside.
#[component]
pub fn Loaded<T, F, V>(
    /// The page's one resource.
    from: Resource<Result<T, Fault>>,
    /// Lines of the skeleton.
    #[prop(default = 6)]
    lines: usize,
    /// How the data looks.
    children: F,
) -> impl IntoView
where
    T: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    F: Fn(T) -> V + Clone + Send + Sync + 'static,
    V: IntoView + 'static,
{
    Effect::new(move |_| {
        let lost = matches!(from.get(), Some(Err(fault)) if fault.code == Code::Unavailable);
        if lost && let Ok(waiting) = set_timeout_with_handle(move || from.refetch(), AGAIN) {
            on_cleanup(move || waiting.clear());
        }
    });
    view! {
        <Transition fallback=move || skeleton(lines)>
            {move || {
                let draw = children.clone();
                #[cfg(feature = "ssr")]
                let response = use_context::<leptos_axum::ResponseOptions>();
                Suspend::new(async move {
                    match from.await {
                        Ok(data) => draw(data).into_any(),
                        Err(fault) => {
                            // A page about what failed answers with the failure's status.
                            #[cfg(feature = "ssr")]
                            if let Some(response) = response {
                                crate::seam::answer_with(&response, &fault);
                            }
                            view! { <FaultView fault=fault /> }.into_any()
                        }
                    }
                })
            }}
        </Transition>
    }
}

fn skeleton(lines: usize) -> impl IntoView {
    view! {
        <div class="skeleton" aria-busy="true">
            <span class="visually-hidden">"Loading"</span>
            {(0..lines).map(|_| view! { <div class="skeleton-line" aria-hidden="true"></div> }).collect_view()}
        </div>
    }
}
