//! What a request may contain, before it goes any further.

use url::Url;

use crate::contract::merchants::{PaymentRequest, RefundRequest};
use crate::foundation::api::{ApiError, ApiResult};
use crate::ids::MerchantNo;
use crate::money::Money;

const NUMBER_BYTES_MAX: usize = 64;
const SUBJECT_BYTES_MAX: usize = 256;
const URL_BYTES_MAX: usize = 512;
/// One milliard yuan: far from where sums of 64 bits could overflow.
const AMOUNT_MAX: i64 = 100_000_000_000;

/// A payment that makes sense and is the signer's own.
pub(super) fn payment(request: &PaymentRequest, signer: &MerchantNo) -> ApiResult<()> {
    own(&request.merchant_no, signer)?;
    amount(request.money)?;
    let numbers = [request.merchant_order_no.as_str(), request.payer_no.as_str()];
    if !numbers.into_iter().all(is_number) {
        return Err(ApiError::BadRequest("NUMBER"));
    }
    if request.subject.is_empty() || request.subject.len() > SUBJECT_BYTES_MAX {
        return Err(ApiError::BadRequest("SUBJECT"));
    }
    let notify = request.notify_url.as_deref().is_none_or(|text| is_address(text, false));
    let back = request.return_url.as_deref().is_none_or(|text| is_address(text, true));
    if notify && back { Ok(()) } else { Err(ApiError::BadRequest("URL")) }
}

/// A refund that makes sense and is the signer's own.
pub(super) fn refund(request: &RefundRequest, signer: &MerchantNo) -> ApiResult<()> {
    own(&request.merchant_no, signer)?;
    amount(request.money)?;
    match is_number(&request.merchant_refund_no) && is_number(request.pay_no.as_str()) {
        true => Ok(()),
        false => Err(ApiError::BadRequest("NUMBER")),
    }
}

/// A business number: letters, digits, `-` and `_`, so that it can stand in a path as it is.
pub(super) fn is_number(text: &str) -> bool {
    let fits = (1..=NUMBER_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn own(merchant_no: &MerchantNo, signer: &MerchantNo) -> ApiResult<()> {
    if merchant_no == signer { Ok(()) } else { Err(ApiError::Forbidden("OTHER_MERCHANT")) }
}

fn amount(money: Money) -> ApiResult<()> {
    if (1..=AMOUNT_MAX).contains(&money.minor) { Ok(()) } else { Err(ApiError::BadRequest("AMOUNT")) }
}

fn is_address(text: &str, query_allowed: bool) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    text.len() <= URL_BYTES_MAX
        && matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && (query_allowed || url.query().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{PayNo, PayerNo};
    use crate::time::Timestamp;

    fn request() -> PaymentRequest {
        PaymentRequest {
            merchant_no: MerchantNo::new("M1001"),
            merchant_order_no: "SO2026010500000001".into(),
            payer_no: PayerNo::new("U1"),
            subject: "2 x K1".into(),
            money: Money::cny(1000),
            expire_at: Timestamp::from_micros(0),
            notify_url: Some("https://shop.example/v1/pay-notices".into()),
            return_url: Some("https://shop.example/orders?no=1".into()),
        }
    }

    fn refused(change: impl FnOnce(&mut PaymentRequest)) -> bool {
        let mut changed = request();
        change(&mut changed);
        payment(&changed, &MerchantNo::new("M1001")).is_err()
    }

    #[test]
    fn a_sensible_payment_of_the_signer_passes() {
        assert!(!refused(|_| {}));
        assert!(!refused(|request| request.notify_url = None));
    }

    #[test]
    fn payments_that_make_no_sense_or_are_somebody_elses_are_refused() {
        assert!(refused(|request| request.merchant_no = MerchantNo::new("M1002")));
        assert!(refused(|request| request.money = Money::cny(0)));
        assert!(refused(|request| request.money = Money::cny(AMOUNT_MAX + 1)));
        assert!(refused(|request| request.merchant_order_no = String::new()));
        assert!(refused(|request| request.merchant_order_no = "x".repeat(65)));
        assert!(refused(|request| request.payer_no = PayerNo::new("U1?merchant_no=M1002")));
        assert!(refused(|request| request.subject = String::new()));
    }

    #[test]
    fn notifications_go_to_plain_web_addresses_only() {
        for url in [
            "ftp://shop.example/",
            "https://me@shop.example/",
            "https://shop.example/?a=b",
            "https://shop.example/#a",
            "shop",
        ] {
            assert!(refused(|request| request.notify_url = Some(url.into())), "{url}");
        }
        assert!(refused(|request| request.return_url = Some("javascript:alert(1)".into())));
    }

    #[test]
    fn a_refund_needs_an_amount_and_numbers() {
        let request = |minor, merchant_refund_no: &str| RefundRequest {
            merchant_no: MerchantNo::new("M1001"),
            merchant_refund_no: merchant_refund_no.into(),
            pay_no: PayNo::new("P2026010500000001"),
            money: Money::cny(minor),
        };
        let signer = MerchantNo::new("M1001");
        assert!(refund(&request(1, "RF1"), &signer).is_ok());
        assert!(refund(&request(-1, "RF1"), &signer).is_err());
        assert!(refund(&request(1, "RF/1"), &signer).is_err());
        assert!(refund(&request(1, "RF1"), &MerchantNo::new("M1002")).is_err());
    }
}
