"""What is read from a file of a measurement, and what is refused."""

import re

import numpy as np
import pytest

from resitile.errors import DataError
from resitile.fitting import read_trains


class TestFiles:
    def test_rows_with_directions(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text(
            "Device;Cycle;Direction;Conductance;note\n"
            "x;1;;1.0;a\nx;1;up;2.0;b\nx;1;SET;3;\nx;1;-1;2.5;\n"
            "x;2;;1;\nx;2;down;0.5;\nx;2;reset;0.4;\ny;1;;7;\ny;1;+1;8;\nz;1;;5;\n",
            encoding="utf-8-sig",
        )  # and one of z, which no pulse follows
        first, second, other = read_trains(path)
        assert (first.device, second.device, other.device) == ("x", "x", "y")
        assert first.readings.tolist() == [1, 2, 3, 2.5]
        assert first.ups.tolist() == [True, True, False]
        assert second.readings.tolist() == [1, 0.5, 0.4]
        assert other.ups.tolist() == [True]

    @pytest.mark.parametrize("turned", [False, True])
    def test_exchanged_directions_are_told(self, tmp_path, turned):
        """As by swapped labels, or the sign of a current at a negative read voltage."""
        path = tmp_path / "a.csv"
        rows = ["direction,conductance", ",1"]
        for k in range(40):
            up, level = k % 20 < 10, min(k % 20, 20 - k % 20) + 1 + 0.05 * (k % 3)
            rows.append(f"{'up' if up != turned else 'down'},{-level if turned else level}")
        path.write_text("\n".join(rows))
        assert len(read_trains(path)) == 1  # both at once are a device again
        other = {"up": "down", "down": "up"}
        path.write_text("\n".join(re.sub("up|down", lambda m: other[m[0]], row) for row in rows))
        with pytest.raises(DataError, match="the directions are exchanged, or the readings have"):
            read_trains(path)

    def test_noise_that_hides_the_response_is_not_taken_for_that(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("direction,g\n,0\nup,2\ndown,0\nup,-3\ndown,0\nup,0.5\ndown,0\n")
        assert len(read_trains(path)) == 1

    def test_a_mean_of_the_wrong_sign_is_held_against_its_standard_error(self, tmp_path):
        """The mean of eight steps with a spread of 1 is sure to 1/sqrt(8), not to 1/8."""
        path = tmp_path / "a.csv"
        moves = np.cumsum([0, *[-1.6, 1.6, 0.4, -0.4] * 4])  # up -0.6 on average, down 0.6
        rows = [f"{('down', 'up')[k % 2]},{w:.6g}" for k, w in enumerate(moves)]
        path.write_text("\n".join(["direction,g", *rows]))
        assert len(read_trains(path)) == 1

    def test_a_column_may_lead_back_by_half_of_its_range(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("up,down\n0,9\n5,8\n10,7\n5,6\n8,5\n")
        assert read_trains(path)[0].readings.tolist() == [0, 5, 10, 5, 8]
        path.write_text("up,down\n0,9\n5,8\n10,7\n4,6\n8,5\n")
        with pytest.raises(
            DataError, match="line 5: the column up leads back by 6, more than half"
        ):
            read_trains(path)

    @pytest.mark.parametrize("gap", ["", "NaN", "nan", " NA", "n/a"])
    def test_words_for_a_gap(self, tmp_path, gap):
        path = tmp_path / "a.csv"
        path.write_text(
            f"direction,g\n{gap},1\nup,2\nup,3\nup,{gap}\nup,5\nup,6\ndown,4\ndown,3\ndown,2\n"
        )
        one, two = read_trains(path)
        assert one.readings.tolist() == [1, 2, 3]
        assert two.readings.tolist() == [5, 6, 4, 3, 2]
        path.write_text(f"up,down\n{gap},9\n1,8\n2,7\n3,6\n{gap},5\n5,4\n6,3\n7,{gap}\n")
        one, two, down = read_trains(path)
        assert (one.readings.tolist(), two.readings.tolist()) == ([1, 2, 3], [5, 6, 7])
        assert down.readings.tolist() == [9, 8, 7, 6, 5, 4, 3]

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
    def test_unicode_text_of_excel(self, tmp_path, encoding):
        path = tmp_path / "a.csv"
        mark = "\ufeff" * (encoding != "utf-16")  # Python writes it then
        path.write_text(f"{mark}up\tdown (µS)\n1,5\t4\n2\t3\n3\t2\n4\t1\n", encoding=encoding)
        up, down = read_trains(path)
        assert up.readings.tolist() == [1.5, 2, 3, 4] and down.readings.tolist() == [4, 3, 2, 1]

    @pytest.mark.parametrize(
        "content",
        [
            b"PK\x03\x04\xff\xfe\x00\x80binary",
            b"\xff\xfeu\x00p\x00,\x00\x00\x00d",
            "up,down\n1,2\n".encode("utf-16-le"),
            b"\x1b[2Jg,direction\n1,\n",
        ],
    )
    def test_what_is_no_text_is_told_without_its_bytes(self, tmp_path, content):
        path = tmp_path / "a.csv"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"is not a text file.* save it as CSV") as told:
            read_trains(path)
        assert str(told.value).isprintable()

    @pytest.mark.parametrize(("up", "down"), [("P", "D"), ("u", "d"), ("LTP", "LTD")])
    def test_short_words_for_directions(self, tmp_path, up, down):
        path = tmp_path / "a.csv"
        rows = [f"{up},{k}\n" for k in (2, 3, 4)] + [f"{down},{k}\n" for k in (3, 2, 1)]
        path.write_text("direction,g\n,1\n" + "".join(rows))
        (train,) = read_trains(path)
        assert train.ups.tolist() == [True] * 3 + [False] * 3

    def test_decimal_commas_between_tabs(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("up\tdown\n1,5\t4,5\n2,5\t3,25\n3\t2\n4\t1\n")
        up, down = read_trains(path)
        assert up.readings.tolist() == [1.5, 2.5, 3, 4]
        assert down.readings.tolist() == [4.5, 3.25, 2, 1]

    def test_two_columns_of_different_length(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text("up,down\n1,9\n2,8\n3,7\n4,6\n5,\n")
        up, down = read_trains(path)
        assert up.readings.tolist() == [1, 2, 3, 4, 5] and up.ups.all()
        assert down.readings.tolist() == [9, 8, 7, 6] and not down.ups.any()

    def test_as_laboratories_write_them(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text(
            "# Keithley\nDevice;Voltage [V];Conductance (\u00b5S)\n"
            "a;;1,5\na;1,2;2,5\n# pause\na;1,2;3\n\na;-1,4;2,25\na;-1,4;2\na;1;3\na;-1;2\n",
            encoding="cp1252",
        )
        (train,) = read_trains(path)
        assert train.readings.tolist() == [1.5, 2.5, 3, 2.25, 2, 3, 2]
        assert train.ups.tolist() == [True, True, False, False, True, False]

    @pytest.mark.parametrize("names", ["Vpulse,G_uS", "V,conductance_nS", "voltage_V,I_A"])
    def test_units_behind_names_and_gaps(self, tmp_path, names):
        path = tmp_path / "a.csv"
        path.write_text(f"{names}\n0,1\n1,2\n1,3\n1,\n1,5\n-1,4\n-1,3\n-1,2\n1,3\n")
        one, two = read_trains(path)
        assert (one.readings.tolist(), one.ups.tolist()) == ([1, 2, 3], [True, True])
        assert two.readings.tolist() == [5, 4, 3, 2, 3]  # no step over the row that was not read
        assert two.ups.tolist() == [False, False, False, True]
        assert one.quantity == names.split(",")[1]

    def test_what_stands_beside_a_first_reading_is_no_pulse(self, tmp_path):
        path = tmp_path / "a.csv"  # the voltage at which it was read, say
        rows = "1,2\n1,3\n1,4\n", "-1,3\n-1,2\n-1,1\n"
        path.write_text(f"voltage,g\n0.1,1\n{rows[0]}0.1,\n0.1,4\n{rows[1]}")
        assert [train.readings.tolist() for train in read_trains(path)] == [
            [1, 2, 3, 4],
            [4, 3, 2, 1],
        ]

    def test_two_columns_of_several_devices_and_cycles(self, tmp_path):
        path = tmp_path / "a.csv"
        rows = [f"{d},{c},{k},{9 - k}" for d in "xy" for c in (1, 2) for k in range(4)]
        path.write_text("device,cycle,up,down\n" + "\n".join(rows))
        trains = read_trains(path)
        assert [t.device for t in trains] == ["x"] * 4 + ["y"] * 4
        assert all(t.ups.all() != (t.readings[0] > 5) for t in trains)
        path.write_text("up,down\n" + "\n".join(f"{k},{9 - k}" for k in (0, 1, 2, 3, 0, 1, 2, 3)))
        with pytest.raises(DataError, match=r"line 6: the column up leads back by 3, .* cycle"):
            read_trains(path)
        rows = [f"{k}," for k in range(4)] + [f",{9 - k}" for k in (0, 1, 2, 3, 0, 1, 2, 3)]
        path.write_text("up,down\n" + "\n".join(rows))
        with pytest.raises(DataError, match=r"line 10: the column down leads back by 3"):
            read_trains(path)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("d,direction,g\n1,,1\n1,up,2,908\n", r"line 3: 4 cells under 3 columns; .*decimal"),
            (
                "voltage,g\n0,1\n1,2\n0.1,2\n-1,1\n",
                r"line 4: a pulse of voltage 0\.1 beside 1 looks like a read",
            ),
            (
                "voltage,g\n,1\n1.2,2\n-1.5,2\n-0.2,1\n",
                r"line 5: a pulse of voltage -0\.2 beside -1\.5 looks like a read",
            ),
            ("voltage,g\n,1\n0,2\n", r"line 3: voltage is 0, so no pulse went"),
            (
                "pulse,conductance\n1,2\n",
                "needs a column conductance and .*which must name them, has pulse, cond",
            ),
            ("g,direction\n1,\n2,left\n", r"line 3: direction must be up or down .* got 'left'"),
            ("g,direction\n1,\n2;5,up\n", r"line 3: g must be a number, got '2;5'; leave it empty"),
            ("g,direction\n1,\ninf,up\n", r"line 3: g must be a number, got 'inf'"),
            ("up,down\n1,2\n2,1\n", r"has 1 pulses up .* at least 3"),
            ("up,down\n1,4\n2,3\n3,2\n,1\n", r"has 2 pulses up .* at least 3"),
            ("g,direction\n" + "1,up\n" * 5 + "1,down\n" * 5, "no pulse moved anything"),
            (",direction,g\n0,,1\n\n1,up,x\n", "line 4: g must be a number, got 'x'"),
            ("", "is empty; it needs a column"),
            ("g,direction,g\n1,,5\n", "line 1: 2 columns are called 'g'; rename"),
            ('g,direction\n1,\n"2,up\n3,up\n', r"line 3: direction must be up or down .* got ''"),
            (f"g,direction\n1,\n{'2' * 200_000},up\n", "line 3: field larger than field limit"),
        ],
    )
    def test_what_is_no_measurement_is_refused(self, tmp_path, text, message):
        path = tmp_path / "a.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_trains(path)

    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match="there is no file"):
            read_trains(tmp_path / "none.csv")
