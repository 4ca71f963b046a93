//! How words reach a shell on a machine. Rule: nothing that was not written in this crate gets
//! there unquoted.

/// Where root's commands are looked for on a machine; the same for tasks and for checks, so that
/// what one finds the other finds.
pub(super) const REMOTE_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin";

/// The words as one line for a POSIX shell, which gives exactly them to the program that the first
/// names. Every word is quoted, so that none is taken for a keyword or an assignment. NUL, which
/// no argument of a program can hold, is left out.
pub fn shell_quoted(argv: &[String]) -> String {
    let words = argv.iter().map(|word| format!("'{}'", word.replace('\0', "").replace('\'', "'\\''")));
    words.collect::<Vec<_>>().join(" ")
}

/// A command line that runs the words as root.
pub(super) fn as_root(user: &str, argv: &[String]) -> String {
    let line = shell_quoted(argv);
    if user == "root" { line } else { format!("sudo -n {line}") }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::shell_quoted;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]

        #[test]
        fn a_shell_gives_the_words_unchanged(words in prop::collection::vec("[^\0]{0,12}|[ '\"$`\\\\!*?~#;&|<>(){}\n\t-]{0,8}", 1..8)) {
            let mut argv = vec!["printf".to_owned(), "%s\\0".to_owned()];
            argv.extend(words.iter().cloned());
            for shell in ["sh", "bash"] {
                let output = Command::new(shell).args(["-c", &shell_quoted(&argv)]).env_clear().output();
                let output = output.unwrap();
                let said: Vec<_> = output.stdout.split(|b| *b == 0).collect();
                let meant: Vec<_> = words.iter().map(String::as_bytes).chain([&b""[..]]).collect();
                prop_assert_eq!(said, meant);
            }
        }
    }

    #[test]
    fn words_are_no_syntax() {
        let argv = ["if", "A=b", "-x", "", "it's"].map(str::to_owned);
        assert_eq!(shell_quoted(&argv), r"'if' 'A=b' '-x' '' 'it'\''s'");
    }
}
