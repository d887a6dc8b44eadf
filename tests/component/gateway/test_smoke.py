async def test_a_discovered_method_answers_over_rest(gateway):
    answer = await gateway.client.get("/v1/shelves/a/books/b", params={"full": "true"})
    assert answer.status_code == 200
    assert answer.json() == {"name": "shelves/a/books/b", "title": "full", "pages": "9007199254740993"}
