import Learning
import Testing
import ThermalComfort
import Training

@Suite(.enabled(if: RealData.isThere, "the database is not beside the repository"))
struct LeakyClaimTests {
    @Test func `a random row split gives more than the published gain, and is called leaky`() throws {
        let library = try XGBoostLibrary(candidates: [".deps/xgboost/lib/libxgboost.so"])
        let evaluations = try LeakyClaim.evaluate(
            RealData.load(), seed: 28,
            methods: ComfortMethods(
                boosting: XGBoostEstimator(library, .sedna(seed: 28)), further: XGBoostEstimator(library, .sedna(seed: 28)),
                pooled: XGBoostEstimator(library, .pooled(fewLabels: false, seed: 28)),
                blended: BlendTrainer(library, settings: .claim(seed: 28), classCount: 3)), seconds: { 0 })
        let claim = try #require(ComfortResults.LeakyRandomSplit(evaluations))
        #expect(claim.published == 0.0512 && claim.note == LeakyClaim.note)
        #expect(claim.skerry.relativeGainVsSingle.value >= 0.0512, "\(claim)")
        #expect((0...0.03).contains(claim.sednaMultitask.relativeGainVsSingle.value), "\(claim)")
        #expect(abs(claim.singleTask - 0.6115) < 0.006)
    }
}
