import pytest
from tokenizers import Tokenizer

from ingestion_assets.chunks.tokens import Estimate, WordPiece, counter_for
from ingestion_assets.local.weights import tokenizer_file

WORDPIECE = counter_for("all-minilm")
SCRIPTS = {
    "english": "The quick brown fox jumps over the lazy dog, and nobody retries what has failed.",
    "german": "Die Donaudampfschifffahrtsgesellschaft ändert ihre Geschäftsbedingungen jährlich.",
    "finnish": "Järjestelmällistyttämättömyydelläänkäänköhän hän yritti selittää epäonnistumista?",
    "turkish": "Çekoslovakyalılaştıramadıklarımızdan mısınız, yoksa başka bir yerden mi geldiniz?",  # noqa: RUF001
    "vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "russian": "Все люди рождаются свободными и равными в своём достоинстве и правах.",  # noqa: RUF001
    "greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.",  # noqa: RUF001
    "arabic": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "hebrew": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "chinese": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。",
    "japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等。",
    "emoji": "ship it 🚀🚀 👩‍💻 🇫🇮 ok 👍🏽",
    "code": "def fetch(url: str) -> bytes:\n    return get(url, timeout=5.0)  # 0xDEADBEEF",
    "base64": "VGhlIHF1aWNrIGJyb3duIGZveCBqdW1wcyBvdmVyIDEzIGxhenkgZG9ncy4=",
    "numbers": "2024-11-05T13:37:00Z 192.168.100.254 3.14159265358979 +358 40 1234567",
}


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_wordpiece_counts_like_the_untouched_tokenizer(text):
    original = Tokenizer.from_file(str(tokenizer_file()))
    original.no_truncation()
    original.no_padding()
    ids = original.encode(text, add_special_tokens=False).ids
    assert WORDPIECE.count([text]) == [len(ids)]
    assert len(WORDPIECE.spans(text)) == len(ids)


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_estimate_does_not_count_far_below_wordpiece(text):
    [estimate], [real] = Estimate().count([text]), WORDPIECE.count([text])
    assert estimate >= 0.75 * real


def test_estimate_stays_near_the_truth_for_english():
    [estimate], [real] = (
        Estimate().count([SCRIPTS["english"]]),
        WORDPIECE.count([SCRIPTS["english"]]),
    )
    assert estimate <= 2 * real


@pytest.mark.parametrize("counter", [WORDPIECE, Estimate()], ids=lambda counter: counter.name)
@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_spans_are_in_order_and_as_many_as_counted(counter, text):
    spans = counter.spans(text)
    assert [len(spans)] == counter.count([text])
    assert spans == sorted(spans)
    assert all(0 <= start < end <= len(text) for start, end in spans)


@pytest.mark.parametrize("counter", [WORDPIECE, Estimate()], ids=lambda counter: counter.name)
def test_counts_add_up_at_blanks(counter):
    texts = list(SCRIPTS.values())
    assert counter.count(["\n\n".join(texts)]) == [sum(counter.count(texts))]


@pytest.mark.parametrize("counter", [WORDPIECE, Estimate()], ids=lambda counter: counter.name)
def test_counts_keep_the_order_of_many_texts(counter):
    assert counter.count(["word " * n for n in range(1500)]) == list(range(1500))


def test_a_word_of_any_length_has_tokens_in_proportion():
    assert WORDPIECE.count(["internet" * 1000]) > WORDPIECE.count(["internet" * 500]) > [500]


def test_a_tokenizer_that_truncates_is_told_not_to():
    original = Tokenizer.from_file(str(tokenizer_file()))
    original.enable_truncation(8)
    original.enable_padding(length=8)
    assert WordPiece(original).count(["one two three", "word " * 100]) == [3, 100]


@pytest.mark.parametrize(
    "model",
    [
        "all-minilm",
        "all-minilm:33m",
        "All-MiniLM:L6-v2",
        "nomic-embed-text",
        "nomic-embed-text:v1.5",
        "hf.co/nomic-ai/nomic-embed-text-v1.5-GGUF:Q8_0",
        "mxbai-embed-large:latest",
        "snowflake-arctic-embed:22m",
        "library/bge-large",
        "somebody/bge-small-en-v1.5",
    ],
)
def test_models_of_berts_vocabulary_have_its_tokenizer(model):
    assert counter_for(model).name == WORDPIECE.name


@pytest.mark.parametrize(
    "model",
    [
        "nomic-embed-text-v2-moe",
        "snowflake-arctic-embed2",
        "bge-m3",
        "embeddinggemma",
        "qwen3-embedding:0.6b",
        "all-minilm/other",
        "bge-small-zh",
    ],
)
def test_other_models_are_estimated(model):
    assert counter_for(model).name == Estimate.name
