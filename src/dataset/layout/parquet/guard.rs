//! The parquet crate trusts what a file says of itself in places, and panics where that is not so (a page in a
//! dictionary that is not there, found by `fuzz::parquet_files`). In: a piece of reading. Out: what it gives, or what
//! the panic said, as an error of the file. Called by [`super::Table`] around every use of the crate.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is about to become an error, and is nothing to print.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read`. What it uses must be as good as before when it stops half way: readers are made anew for each call, and
/// what is shared between calls is not changed by them.
///
/// # Errors
/// What a panic said.
pub(super) fn guarded<T>(read: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !GUARDED.get() {
                before(panic);
            }
        }));
    });
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(read));
    GUARDED.set(outer);
    result.map_err(|payload| format!("it contradicts itself ({})", words(payload.as_ref())))
}

fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_words() {
        assert_eq!(guarded(|| 5), Ok(5));
        let stopped = guarded(|| -> u8 { std::panic::panic_any("at a page".to_owned()) });
        assert_eq!(stopped, Err("it contradicts itself (at a page)".to_owned()));
        let inner = guarded(|| guarded(|| -> u8 { std::panic::panic_any("x") }).is_err());
        assert_eq!(inner, Ok(true));
    }
}
