//! The id of the request that is being answered, for whoever writes a line about it: log, problem
//! and audit trail. The rule: code asks [`current`], the id is never passed on; work that is handed
//! to another task takes it along by [`scope`].

use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// The id of the request that is being answered; `None` outside of one.
pub fn current() -> Option<Arc<str>> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Runs `future` as part of the request `id`.
pub(crate) async fn scope<F: Future>(id: Arc<str>, future: F) -> F::Output {
    CURRENT.scope(id, future).await
}
