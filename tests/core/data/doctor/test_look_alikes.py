"""Each family of faults: texts that have it, and texts that only look so."""

# ruff: noqa: E501, RUF001 (sentences in many languages)

from __future__ import annotations

import random
import string
from collections.abc import Callable

import pytest

from desktop_ft.core.data.doctor.answers import has_empty_answer, has_unfit_word
from desktop_ft.core.data.doctor.contact import EMAIL, card_spans, email_spans, masked, passes_luhn, phone_spans
from desktop_ft.core.data.doctor.faults import ROW_CHECKS, faults_of
from desktop_ft.core.data.doctor.html import has_html, strip_html
from desktop_ft.core.data.doctor.language import language_of, languages_of
from desktop_ft.core.data.doctor.mojibake import has_mojibake, repair_mojibake
from desktop_ft.core.data.doctor.secrets import has_api_key, mask_api_keys
from desktop_ft.core.data.doctor.texts import Seen
from desktop_ft.core.data.doctor.tool_calls import has_bad_call
from desktop_ft.core.data.doctor.wording import is_refusal


def _row(request: str, answer: str) -> Seen:
    return Seen((request,), (answer,), (), ((request, answer),))


@pytest.mark.parametrize(
    ("broken", "right"),
    [
        ("cafÃ©", "café"), ("donâ€™t", "don’t"), ("SÃ£o Paulo", "São Paulo"), ("25Â°C", "25°C"), ("Ã‰cole", "École"), ("Tiáº¿ng Viá»‡t", "Tiếng Việt"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"), ("РџСЂРёРІРµС‚", "Привет"), ("caf√©", "café"), ("don‚Äôt", "don’t"), ("ÃƒÂ©tÃƒÂ©", "été"), ("GrÃ¶ÃŸe", "Größe"), ("ðŸ˜€ hi", "😀 hi"),
        ("niÃ±o", "niño"), ("â€œhelloâ€\x9d", "“hello”"), ("3â‚¬", "3€"), ("Ã\u00a0 la carte", "à la carte"), ("a Â« b Â» c", "a « b » c"),
    ],
)  # fmt: skip
def test_broken_characters_are_repaired(broken: str, right: str) -> None:
    assert has_mojibake(broken)
    assert repair_mojibake(broken) == right
    assert not has_mojibake(right)


@pytest.mark.parametrize("broken", ["voilÃ  monsieur", "caf\ufffd"])
def test_what_was_lost_is_found_and_left(broken: str) -> None:
    assert has_mojibake(broken)
    assert repair_mojibake(broken) == broken


@pytest.mark.parametrize(
    "honest",
    [
        "voilà\u00a0» dit", "MAÇÃ” disse", "CAFÉ»", "IRMÃ…", "« Perché…» disse", "1.5 Å–2.0 Å", "Nestlé®…", "ESPAÑA", "Tiếng Việt ấ", "“MANHÔ", "le café”…", "PÅ»", "Привет, РСФСР, РЕСПУБЛИКА",
        "√2 and x ≤ √π", "If you see Ã© instead of é, the UTF-8 text was read as Latin-1.", "São Paulo, coração", "château, forêt, hôtel — où", "5 Å… long", "Où\u00a0?", "VOILÀ\u00a0!", "maçã”…",
    ],
)  # fmt: skip
def test_other_languages_are_not_broken(honest: str) -> None:
    assert not has_mojibake(honest)
    assert repair_mojibake(honest) == honest


@pytest.mark.parametrize(
    ("request_", "answer", "plain"),
    [
        ("What is bread?", "<p>Bread is a food.</p>", "Bread is a food."), ("q", "nice&nbsp;and warm &amp; dry", "nice and warm & dry"), ("q", "Read <a href=\"/x\">more</a>.", "Read more."),
        ("q", "one<br>two", "one\ntwo"), ("q", "a<br>b\n```\n<p>\n```\nc &lt; d", "a\nb\n```\n<p>\n```\nc < d"), ("How do I log in on your website?", "<div class='a'>Go there</div>", "Go there"), ("q", "<b>Note:</b> so", "Note: so"), ("<p>What is it?</p>", "It is.", "It is."),
        ("q", "a<script>var x = 1</script>b <i>c</i>", "ab c"), ("Name a fish", "Cod</li><li>Hake", "Cod\nHake"), ("What&nbsp;is up?", "Not much", "Not much"), ("q", "Keep `<br>` but <br/>not this", "Keep `<br>` but\nnot this"),
    ],
)  # fmt: skip
def test_debris_of_pages_is_taken_out(request_: str, answer: str, plain: str) -> None:
    assert has_html(_row(request_, answer))
    assert strip_html(answer) == plain
    assert not has_html(_row(strip_html(request_), plain))


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("How do I make text bold in HTML?", "Use <b>bold</b>."), ("Write a web page", "<html><body><p>Hi</p></body></html>"), ("q", "```html\n<p>x</p>\n```"), ("q", "Use `<br>` there"), ("q", "List<String>, Map<a, b>"),
        ("q", "if a < b and c > d; e & f;"), ("q", "AT&T; R&D; x"), ("q", "| a | b<br>c |\n|--|--|"), ("Fix this: <div>hi</div>", "<div>Hi</div>"), ("What does &amp; mean?", "&amp; is the ampersand."), ("q", "replace <name>"),
        ("<article>\nlong text\n</article>\nSummarise", "It is short"), ("Make a login form", "<form action='x'><input type='text'></form>"), ("q", "In HTML you write <br> for it."), ("What is the tag for a paragraph?", "The <p> tag."),
    ],
)  # fmt: skip
def test_html_that_was_asked_for_is_no_debris(request_: str, answer: str) -> None:
    assert not has_html(_row(request_, answer))


@pytest.mark.parametrize(
    "answer",
    [
        "As an AI language model, I don't have opinions.", "I'm sorry, but I can't assist with that.", "I cannot help with that.", "I can’t help with that.", "I'm unable to assist with this topic.", "I must decline to answer.",
        "As an artificial intelligence, I do not have feelings.", "I cannot provide instructions for making weapons.", "I am just an AI and cannot feel.", "Als KI-Sprachmodell kann ich das nicht.", "However, as an AI language model I have no body.",
        "I apologize, but I cannot fulfill this request.", "Sorry, but I can't help you with this one.", "作为一个人工智能语言模型，我不能。", "As of my last knowledge update in 2021, it is 3.",
    ],
)  # fmt: skip
def test_refusals(answer: str) -> None:
    assert is_refusal(_row("q", answer))


@pytest.mark.parametrize(
    "answer",
    [
        'He said, "I cannot help with that," and left.', "I can't help but admire the view.", "As an AI researcher, I study models.", "Dear Tom, I'm sorry, but I can't make it to the meeting.", "I cannot help feeling sad.",
        "The phrase \"As an AI language model\" is a sign.", "GPT-4 is known as a large language model that writes code.", "I can't help with the dishes tonight, ask Ben.", "I am unable to attend the meeting.", "We cannot refund it before Monday.",
        "A refusal such as 'I cannot help with that' frustrates people.", "She could not help with that.", "I cannot find the order; please check it.", "> I'm sorry, but I can't assist with that.\n\nThis is a typical refusal.",
    ],
)  # fmt: skip
def test_words_of_refusal_that_are_told_or_quoted(answer: str) -> None:
    assert not is_refusal(_row("q", answer))


def _random_keys() -> list[str]:
    rnd = random.Random(3)

    def token(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(rnd.choice(alphabet) for _ in range(length))

    return [
        f"sk-{token(48)}", f"sk-proj-{token(64)}", f"sk-ant-api03-{token(93)}", f"AKIA{token(16, string.ascii_uppercase + '234567')}", f"ghp_{token(36)}", f"github_pat_{token(22)}_{token(59)}", f"glpat-{token(20)}",
        f"xoxb-{token(12, string.digits)}-{token(24)}", f"AIza{token(35)}", f"sk_live_{token(24)}", f"SG.{token(22)}.{token(43)}", f"hf_{token(34)}", f"npm_{token(36)}", f"api_key = '{token(40)}'",
        f"-----BEGIN RSA PRIVATE KEY-----\n{token(64)}\n{token(64)}\n-----END RSA PRIVATE KEY-----", f"eyJhbGciOiJIUzI1NiJ9.eyJ{token(40)}.{token(43)}",
    ]  # fmt: skip


@pytest.mark.parametrize("key", _random_keys(), ids=lambda key: key[:8])
def test_keys_are_found_and_masked(key: str) -> None:
    text = f"Use this: {key} in the header."
    assert has_api_key(text)
    assert "<API_KEY>" in mask_api_keys(text)
    assert not has_api_key(mask_api_keys(text))


@pytest.mark.parametrize(
    "text",
    [
        "sk-" + "x" * 48, "YOUR_API_KEY", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "X" * 36, "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "123e4567-e89b-12d3-a456-426614174000", "api_key = \"your-api-key-goes-here-please-1A\"",
        "sk-1234567890abcdef1234567890abcdef12345678", "token: str = Depends(get_current_user_from_token)", "api_key=os.environ['OPENAI_API_KEY']", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", "access_token: process.env.ACCESS_TOKEN_SECRET_VALUE1",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----", "the secret key is stored in the vault",
    ],
)  # fmt: skip
def test_placeholders_and_hashes_are_no_keys(text: str) -> None:
    assert not has_api_key(text)
    assert mask_api_keys(text) == text


@pytest.mark.parametrize("text", ["Write to jane.doe@gmail.com.", "mailto:bob@northwind.io", "<a.b+c@uni-bonn.de>", "x@y.co.uk"])
def test_addresses(text: str) -> None:
    assert masked(text, email_spans(text), EMAIL).count(EMAIL) == 1


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com", "a@mail.example.org", "git@github.com:user/repo.git", "@user@mastodon.social", "react@18.2.0", "image@2x.png", "root@localhost", "https://user:pass@host.com/x", "foo@bar.test", "me@server.local",
        "your.name@domain.com", "user@host", "scp a.txt me@box.org:/tmp/x",
    ],
)  # fmt: skip
def test_what_has_an_at_and_is_nobody_s_address(text: str) -> None:
    assert email_spans(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "Call +49 30 901820 now", "+1 (415) 555-2671", "+442079460958", "(415) 555-2671", "415-555-2671", "1-800-555-1234", "Tel: 030 / 901820", "0151 23456789", "01 23 45 67 89", "020 7946 0958", "Phone: 612 345 678",
        "mobile 98765 43210", "03-1234-5678", "call 4155552671", "(11) 91234-5678", "0412 345 678", "0049 30 901820", "+91 98765 43210", "+44 (0)20 7946 0958",
    ],
)  # fmt: skip
def test_phone_numbers(text: str) -> None:
    assert len(phone_spans(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Order 415-555-2671", "on 2024-05-12 14:30", "05-12-2023 14:30", "192.168.100.200", "version 10.0.19045.3570", "ISBN 978-3-16-148410-0", "123-45-6789", "1234567890", "3.14159265", "12 345 678 people", "from 1990-2000 to 2020",
        "DE89 3704 0044 0532 0130 00", "4539 5787 6362 1486", "invoice 0151-23456", "1,234,567,890", "550e8400-e29b-41d4-a716-446655440000", "48.137154, 11.576124", "1 2 3 4 5 6 7 8 9", "5 + 12345678", "scored 21-15 21-18 19-21",
    ],
)  # fmt: skip
def test_other_numbers_are_no_phones(text: str) -> None:
    assert phone_spans(text) == []


def test_cards_need_an_issuer_and_the_check_digit_and_are_no_published_test_number() -> None:
    assert passes_luhn("4539578763621486")
    assert not passes_luhn("4539578763621487")
    for text in ("my card 4539578763621486,", "4539 5787 6362 1486", "4539-5787-6362-1486"):
        assert len(card_spans(text)) == 1
    for text in (
        "4242 4242 4242 4242",
        "4539 5787 6362 1487",
        "order 4539578763621486",
        "DE89 3704 0044 0532 0130 00",
        "IMEI 356938035643809",
        "9539578763621486",
    ):
        assert card_spans(text) == []


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The quick fox jumps over the lazy dog and it is very happy."), ("de", "Der Hund ist nicht im Haus, aber er kommt bald nach Hause."), ("fr", "Le chat est sur la table et il ne veut pas descendre."), ("es", "El perro está en la casa y no quiere salir a la calle."),
        ("pt", "O cachorro está em casa e não quer sair para a rua."), ("it", "Il cane è nella casa e non vuole uscire per la strada."), ("nl", "De hond is in het huis en wil niet naar buiten."), ("pl", "Pies jest w domu i nie chce wyjść na ulicę, bo to jest daleko."),
        ("ru", "Собака в доме и она не хочет на улицу."), ("ja", "犬は家にいて、外に出たくない。"), ("zh", "狗在家里，不想出去散步。"), ("ko", "개는 집에 있고 나가고 싶지 않다."), ("ar", "الكلب في البيت ولا يريد الخروج"), ("vi", "Con chó ở trong nhà và không muốn ra ngoài đường."),
        (None, "print('hello world')"), (None, "Paris"), (None, "42 km / h"),
    ],
)  # fmt: skip
def test_languages(language: str | None, text: str) -> None:
    assert language_of(text) == language


def test_a_language_that_was_asked_for_is_not_mixed_in() -> None:
    german = "Der Hund ist nicht im Haus, aber er kommt bald nach Hause."
    assert languages_of(_row("Where is the dog of the old man now?", german)) == ("en", "de")
    assert languages_of(_row("Say in German where the dog of the man is.", german)) == ("en", None)
    assert languages_of(_row("Translate what I said about the dog and the man.", german)) == ("en", None)


@pytest.mark.parametrize(
    ("request_", "answer", "is_unfit"),
    [
        ("Explain how photosynthesis works.", "Yes", True), ("Write a poem about the sea.", "Ok", True), ("Tell me about whales", "Whales", True), ("How do I bake bread?", "Oven", True), ("Why is the sky blue?", "Physics", True),
        ("What is the history of Rome?", "Fine.", True), ("What is the capital of France?", "Paris", False), ("Is water wet?", "Yes", False), ("Classify the sentiment: I love it", "Positive", False), ("What is 2+2?", "4", False),
        ("Answer with one word: why is it so?", "Physics", False), ("Explain the rule", "这是一个完整的句子没有空格", False), ("Explain", "print('hi')", False), ("Who wrote Hamlet?", "Shakespeare", False), ("Q: x\nA) one\nB) two", "B", False),
    ],
)  # fmt: skip
def test_one_word_is_right_where_one_was_asked_for(request_: str, answer: str, is_unfit: bool) -> None:
    assert has_unfit_word(_row(request_, answer)) is is_unfit


def test_empty_answers() -> None:
    assert [has_empty_answer(_row("q", answer)) for answer in ("", " \n", "\u200b", "...", "—")] == [True] * 5
    assert [has_empty_answer(_row("q", answer)) for answer in ("No", "4", "?", "👍", "+")] == [False] * 5


@pytest.mark.parametrize(
    ("answer", "is_bad"),
    [
        ('<tool_call>\n{"name": "f", "arguments": {"a": 1}\n</tool_call>', True), ("<tool_call>{'name': 'f'}</tool_call>", True), ('<tool_call>\n{"name": "f", "arguments": {}}', True), ('<tool_call>{"arguments": {}}</tool_call>', True),
        ('[TOOL_CALLS] [{"name": "f"', True), ('<tool_call>{"name":"f","arguments":"{bad"}</tool_call>', True), ('<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>', False), ("The <tool_call> tag starts a call.", False),
        ("Use `<tool_call>{bad}</tool_call>`", False), ("Wrap it in <tool_call> and </tool_call>.", False), ("<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>", False), ('[TOOL_CALLS] [{"name": "f", "arguments": {}}]', False),
    ],
)  # fmt: skip
def test_tool_calls(answer: str, is_bad: bool) -> None:
    assert has_bad_call(_row("q", answer)) is is_bad


def test_calls_beside_the_text_are_looked_at() -> None:
    good, bad = {"function": {"name": "f", "arguments": "{}"}}, {"function": {"name": "f", "arguments": "{"}}
    assert not has_bad_call(Seen(("q",), ("",), (), (), (good,)))
    assert has_bad_call(Seen(("q",), ("",), (), (), (good, bad)))
    assert not has_empty_answer(Seen(("q",), ("",), (), (), (good,)))


REWRITES: tuple[Callable[[str], str], ...] = (strip_html, repair_mojibake, mask_api_keys)
PIECES = (
    "a",
    "@",
    "a@",
    "1 ",
    "<",
    "<p ",
    "<b>",
    "<script>",
    "&",
    "`",
    '"',
    "Ã",
    "I can't ",
    "<tool_call>",
    "sk-",
    "eyJ",
    "key=",
    "\n",
    "(",
    "the ",
    "界",
)


def _look_everywhere(piece: str, length: int) -> None:
    """A check that is not linear does not end before the test's time limit."""
    text = piece * (length // len(piece))
    faults_of(_row(text, text))
    for rewrite in REWRITES:
        rewrite(text)


@pytest.mark.parametrize("piece", PIECES[::4])
def test_long_rows_of_one_piece_come_to_an_end(piece: str) -> None:
    _look_everywhere(piece, 2**19)


@pytest.mark.real
@pytest.mark.parametrize("piece", PIECES)
def test_the_longest_rows_of_one_piece_come_to_an_end(piece: str) -> None:
    _look_everywhere(piece, 2**21)


def test_every_check_has_its_name() -> None:
    assert set(ROW_CHECKS) == {
        "empty_answers",
        "one_word_answers",
        "mojibake",
        "html",
        "refusals",
        "api_keys",
        "emails",
        "phones",
        "cards",
        "tool_calls",
    }
