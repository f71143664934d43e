//! The form of LOINC codes: a number, a hyphen, and a check digit that catches most slips of the keyboard.

/// Whether the text has the form of a LOINC code and its check digit is right. Parts, answers, lists and groups of LOINC
/// (letters before the number) pass by their form.
pub(super) fn is_code(text: &str) -> bool {
    let is_number = parts(text).is_some_and(|(number, digit)| check_digit(number) == Some(digit));
    let prefixed = ["LP", "LA", "LG", "LL"].iter().find_map(|prefix| text.strip_prefix(prefix));
    is_number || prefixed.is_some_and(|rest| parts(rest).is_some())
}

/// The number and the check digit, `None` when the text has not the form of a code.
pub(super) fn parts(text: &str) -> Option<(&str, u32)> {
    let (number, digit) = text.split_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let mut digits = digit.chars();
    let digit = digits.next()?.to_digit(10)?;
    (is_number && digits.next().is_none()).then_some((number, digit))
}

/// The check digit of a number: every second digit from the right counts twice, and all digits with it sum to a multiple
/// of ten. `None` when a character is no digit.
pub(super) fn check_digit(number: &str) -> Option<u32> {
    let mut sum = 0;
    for (place, character) in number.chars().rev().enumerate() {
        let digit = character.to_digit(10)?;
        sum += match (place % 2, digit * 2) {
            (0, twice) if twice > 9 => twice - 9,
            (0, twice) => twice,
            _ => digit,
        };
        sum %= 10;
    }
    Some((10 - sum) % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits() {
        for code in ["8867-4", "85354-9", "59408-5", "2339-0", "105272-9", "3150-0", "LP7787-7", "LA6576-8"] {
            assert!(is_code(code), "{code}");
        }
        for code in ["8867-5", "8876-4", "8867", "8867-", "-4", "8867-44", "hr", "", "8867–4", "LX1-8"] {
            assert!(!is_code(code), "{code}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_wrong_digit_is_always_noticed(number in "[1-9][0-9]{2,6}", place in 0_usize..3, other in 1_u32..10) {
            let digit = check_digit(&number).unwrap();
            let mut digits: Vec<u32> = number.chars().map(|digit| digit.to_digit(10).unwrap()).collect();
            digits[place] = (digits[place] + other) % 10;
            let slipped: String = digits.iter().map(ToString::to_string).collect();
            proptest::prop_assert!(is_code(&format!("{number}-{digit}")), "the code itself");
            proptest::prop_assert!(!is_code(&format!("{slipped}-{digit}")), "{}", slipped);
        }
    }
}
