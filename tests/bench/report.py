"""Rows as a table, as CSV and as a picture."""

import csv
import os
import shutil
import subprocess


def number(value, digits=2):
    return "-" if value is None else "%.*f" % (digits, value)


def table(rows, out):
    head = ("workload", "program", "n", "wall s", "(min-max)", "CPU s", "peak MB", "MB/s", "syncs", "trips")
    lines = [head]
    for row in rows:
        walls = [run["wall"] for run in row.runs]
        wall = row.median("wall")
        lines.append((row.workload, row.program, str(len(row.runs)), number(wall, 3),
                      "%.2f-%.2f" % (min(walls), max(walls)), number(row.median("cpu")),
                      number(row.median("peak") / 1024, 1),
                      number(row.octets / wall / 1e6 if row.octets else None, 1), number(row.median("syncs"), 0),
                      number(row.round_trips, 0)))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    for line in lines:
        print("  ".join(cell.ljust(width) if i < 2 else cell.rjust(width)
                        for i, (cell, width) in enumerate(zip(line, widths))).rstrip(), file=out)


def marks(found, out):
    for workload, mark in found:
        print("%s  %-10s %-40s %8.3f  (%s %g)" % ("ok  " if mark.holds else "MISS", workload, mark.text, mark.value,
                                                 "at least" if mark.at_least else "at most", mark.bound), file=out)


def write_csv(rows, path):
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(("workload", "program", "run", "wall_s", "user_s", "sys_s", "peak_kib", "octets", "messages",
                      "syncs", "round_trips"))
        for row in rows:
            for i, run in enumerate(row.runs):
                out.writerow((row.workload, row.program, i + 1, run["wall"], run["user"], run["sys"], run["peak"],
                              row.octets, row.messages, run["syncs"], row.turns[i] if i < len(row.turns) else ""))


def gnuplot(script):
    if shutil.which("gnuplot") is None:
        return False
    subprocess.run(["gnuplot"], input=script, text=True, check=True)
    return True


def plot(rows, curve, folder):
    """Wall time by workload and program, on a logarithmic scale; the curve of known ids."""
    workloads = list(dict.fromkeys(row.workload for row in rows))
    programs = list(dict.fromkeys(row.program for row in rows))
    data = os.path.join(folder, "bench.dat")
    with open(data, "w") as file:
        for workload in workloads:
            walls = {row.program: row.median("wall") for row in rows if row.workload == workload}
            print('"%s"' % workload, *("%g" % walls[p] if p in walls else "?" for p in programs), file=file)
    columns = ", ".join('"%s" using %d:xtic(1) title "%s"' % (data, i + 2, p) for i, p in enumerate(programs))
    made = gnuplot("""
set terminal svg size 1400,700 background "white"
set output "%s/bench.svg"
set datafile missing "?"
set style data histograms
set style fill solid 0.8
set logscale y
set ylabel "seconds of wall time, median"
set xtics rotate by -30
set key outside
plot %s
""" % (folder, columns))
    if curve:
        points = os.path.join(folder, "known.dat")
        with open(points, "w") as file:
            for count, wall in curve:
                print(count, wall, file=file)
        gnuplot("""
set terminal svg size 700,500 background "white"
set output "%s/known.svg"
set logscale xy
set xlabel "known ids, nothing new"
set ylabel "seconds of wall time, median"
plot "%s" with linespoints title "pophaul"
""" % (folder, points))
    return made
