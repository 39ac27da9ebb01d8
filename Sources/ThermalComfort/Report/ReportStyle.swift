/// Colours and shapes of the report and its pictures, for light and dark screens and for paper. Text has a contrast of at least 4.5 : 1 on
/// its ground; blue and orange stay apart for the colour-blind.
enum ReportStyle {
    private static let light = """
        --paper:#ffffff;--panel:#f5f6f8;--ink:#16191d;--muted:#5a6270;--rule:#d9dde3;--gain:#1767b8;--loss:#b8500f;--base:#77808d;\
        --soft:#dbe8f6;--warn:#8a1c1c;--warnsoft:#fdeaea;\
        --h0:#eef4fb;--h1:#d3e4f5;--h2:#a9cbec;--h3:#78addf;--h4:#4488c9;--h5:#1f66ae;--h6:#0c4786;--on0:#16191d;--on1:#ffffff;
        """
    private static let dark = """
        --paper:#14171b;--panel:#1d2127;--ink:#eceff3;--muted:#a3adba;--rule:#363d47;--gain:#6fb3f5;--loss:#f59a5b;--base:#8c96a4;\
        --soft:#1c3350;--warn:#ffb1a8;--warnsoft:#43191a;\
        --h0:#1a2430;--h1:#1d3350;--h2:#1f4672;--h3:#245c97;--h4:#5292cf;--h5:#84b8e8;--h6:#bddaf5;--on0:#eceff3;--on1:#14171b;
        """
    private static let picture = """
        svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:13px}\
        .ink{fill:var(--ink)}.strong{fill:var(--ink);font-weight:650}.muted{fill:var(--muted)}svg text.small{font-size:12px;fill:var(--muted)}\
        .blue{fill:var(--gain);font-weight:650}.orange{fill:var(--loss);font-weight:650}\
        .gain{fill:var(--gain)}.loss{fill:var(--loss)}.base{fill:var(--base)}.paper{fill:var(--paper)}\
        .rule{stroke:var(--rule);stroke-width:1}.zero{stroke:var(--muted);stroke-width:1}\
        .whisker{stroke:var(--ink);stroke-width:1.5}.gainline{stroke:var(--gain);stroke-width:2.5;fill:none;stroke-linejoin:round}\
        .secondline{stroke:var(--loss);stroke-width:2.5;fill:none;stroke-linejoin:round}\
        .thirdline{stroke:var(--ink);stroke-width:1.5;fill:none;stroke-linejoin:round}.ring3{fill:var(--paper);stroke:var(--ink);stroke-width:1.5}.baseline{stroke:var(--base);stroke-width:2;stroke-dasharray:5 4;fill:none}\
        .ring{fill:var(--paper);stroke:var(--gain);stroke-width:2.5}.ring2{fill:var(--paper);stroke:var(--loss);stroke-width:2.5}\
        .h0{fill:var(--h0)}.h1{fill:var(--h1)}.h2{fill:var(--h2)}.h3{fill:var(--h3)}.h4{fill:var(--h4)}.h5{fill:var(--h5)}.h6{fill:var(--h6)}\
        .on0{fill:var(--on0)}.on1{fill:var(--on1)}.halo{fill:none;stroke:var(--paper);stroke-width:5}.now{fill:none;stroke:var(--ink);stroke-width:2}\
        svg text.headline{font-size:20px;font-weight:700;fill:var(--ink)}svg text.mark{font-size:22px;font-weight:800;fill:var(--warn)}
        """
    private static let page = """
        *{box-sizing:border-box}html{color-scheme:light dark;-webkit-text-size-adjust:100%}\
        body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}\
        main{max-width:880px;margin:0 auto;padding:28px 20px 72px}\
        header{margin-bottom:1.6em}h1{font-size:clamp(1.55rem,4.4vw,2.3rem);line-height:1.2;letter-spacing:-.015em;margin:.3em 0 .5em;text-wrap:balance}\
        h2{font-size:1.35rem;line-height:1.25;margin:2.6em 0 .5em;text-wrap:balance}p{margin:.6em 0;max-width:70ch}\
        .kicker,.note{color:var(--muted);font-size:.92rem}.kicker{margin:0}.lead{font-size:1.13rem}\
        .mark{background:var(--warnsoft);color:var(--warn);border:2px solid var(--warn);border-radius:8px;padding:10px 16px;font-weight:600;margin:0 0 20px}\
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin:1.6em 0;padding:0;list-style:none}\
        .tiles li{background:var(--panel);border-radius:10px;padding:14px 16px;font-size:.92rem;line-height:1.4;color:var(--muted)}\
        .tiles strong{display:block;font-size:1.75rem;line-height:1.2;color:var(--ink);font-variant-numeric:tabular-nums}\
        figure{margin:1.2em 0}figure{overflow-x:auto}figure svg{display:block;width:100%;min-width:430px;max-width:760px;height:auto}.pair svg{min-width:0}figcaption{color:var(--muted);font-size:.92rem;margin-top:.5em;max-width:75ch}\
        .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:24px}\
        .scroll{overflow-x:auto;margin:1em 0}table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}\
        th,td{padding:7px 10px;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top}\
        th:first-child,td:first-child,th.left,td.left{text-align:left}thead th{vertical-align:bottom;color:var(--muted);font-weight:600}\
        th[scope=row]{font-weight:600;min-width:150px}th small,td small{display:block;color:var(--muted);font-weight:400}td.num,td.mark-cell{white-space:nowrap}\
        tr.ours{background:var(--soft)}tr.baseline th{font-style:italic}caption{text-align:left;color:var(--muted);font-size:.92rem;padding-bottom:6px}\
        .aim,.must{color:var(--gain);font-weight:650}.missed{color:var(--loss);font-weight:650}\
        code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}\
        details{margin:1em 0}summary{cursor:pointer;color:var(--gain)}dl{margin:1em 0}dt{font-weight:650;margin-top:.8em}dd{margin:0;max-width:70ch}\
        footer{margin-top:4em;border-top:1px solid var(--rule);padding-top:1em;color:var(--muted);font-size:.88rem}
        """
    private static let print = """
        body{font-size:10.5pt}main{max-width:none;padding:0}h2{break-after:avoid;margin-top:1.6em}figure,tr,.tiles li{break-inside:avoid}\
        .scroll{overflow:visible}.tiles li,tr.ours,.mark,svg rect{print-color-adjust:exact;-webkit-print-color-adjust:exact}
        """

    static let ofPage = """
        :root{\(light)}\(picture)\(page)@media(prefers-color-scheme:dark){:root{\(dark)}}@media print{:root{\(light)}\(print)}
        """
    /// A picture that stands alone follows the reader's light or dark setting too.
    static let ofPicture = "svg{\(light)}\(picture)@media(prefers-color-scheme:dark){svg{\(dark)}}@media print{svg{\(light)}}"
}
