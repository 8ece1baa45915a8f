from mmcontnet.evaluation.published import load_tables


def test_rows_are_whole():
    rows = {row.config: row for table in load_tables() for row in table.rows}
    assert len(rows) == 26
    for row in rows.values():
        assert row.metrics and all(0 < value < 100 for value in row.metrics.values())
        if row.baseline is not None:
            assert rows[row.baseline].metrics.keys() == row.metrics.keys()
    assert rows['retinanet_contm_coco'].metrics['coco/bbox_mAP'] == 37.9
