from ingestion_assets.embedding.shown import Shown


def test_context_is_read_from_architecture_and_modelfile() -> None:
    info = {
        "general.architecture": "bert",
        "bert.context_length": 512,
        "bert.embedding_length": 384,
    }
    shown = Shown.of(
        {
            "model_info": info,
            "parameters": 'stop "x"\nnum_ctx                        256',
            "capabilities": ["embedding"],
        }
    )
    assert shown == Shown(can_embed=True, context=512, num_ctx=256, dimensions=384)


def test_an_old_server_says_nothing_and_is_given_a_try() -> None:
    assert Shown.of({}) == Shown(can_embed=True, context=None, num_ctx=None, dimensions=None)


def test_a_chat_model_cannot_embed() -> None:
    assert not Shown.of({"capabilities": ["completion"]}).can_embed
