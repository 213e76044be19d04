//! Whole numbers in base 36: times in cookies and overrides. A leaf.

const BASE: u64 = 36;
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Enough for seconds since 1970 beyond the year 4000.
const MAX_DIGITS: usize = 7;

/// Appends a number in base 36.
pub fn write(mut number: u64, text: &mut String) {
    let mut digits: Vec<char> = Vec::new();
    loop {
        let digit = usize::try_from(number % BASE).ok();
        let digit = digit.and_then(|digit| DIGITS.get(digit));
        digits.push(digit.map_or('0', |digit| char::from(*digit)));
        number /= BASE;
        if number == 0 {
            break;
        }
    }
    text.extend(digits.iter().rev());
}

/// Reads up to seven digits in base 36, in lower case and without leading zeros.
pub fn read(digits: &[u8]) -> Option<u64> {
    if digits.len() > MAX_DIGITS
        || digits.is_empty()
        || (digits.len() > 1 && digits.starts_with(b"0"))
    {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit.wrapping_sub(b'0'),
            b'a'..=b'z' => digit.wrapping_sub(b'a').wrapping_add(10),
            _ => return None,
        };
        number.checked_mul(BASE)?.checked_add(u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_written() {
        for number in [0, 1, 35, 36, 29_934_720, 1_796_083_200, 78_364_164_095] {
            let mut text = String::new();
            write(number, &mut text);
            assert_eq!(read(text.as_bytes()), Some(number), "{text}");
        }
        for text in ["", "00", "01", "A", "-1", "+1", " 1", "1 ", "10000000", "é"] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
    }
}
