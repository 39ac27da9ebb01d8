// swift-tools-version:6.1
import PackageDescription

// The map in code: targets in layer order. ARCHITECTURE.md says what belongs in which room.

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nio: [Target.Dependency] = [
    nioCore, .product(name: "NIOPosix", package: "swift-nio"), .product(name: "NIOHTTP1", package: "swift-nio"),
    .product(name: "NIOSSL", package: "swift-nio-ssl"), .product(name: "NIOTLS", package: "swift-nio"),
    .product(name: "NIOWebSocket", package: "swift-nio"), .product(name: "NIOHTTP2", package: "swift-nio-http2"),
    .product(name: "NIOHPACK", package: "swift-nio-http2"),
]
let x509: [Target.Dependency] = [.product(name: "X509", package: "swift-certificates"), .product(name: "SwiftASN1", package: "swift-asn1")]

let package = Package(
    name: "skerry",
    platforms: [.macOS(.v15)],
    products: [.executable(name: "skerry", targets: ["skerry"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-nio-http2.git", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.1"),
    ],
    targets: [
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
        .target(name: "Resources", swiftSettings: strict),
        .target(name: "Identity", dependencies: x509 + [crypto], swiftSettings: strict),
        .target(name: "Network", dependencies: nio + ["CZlib", "HubProtocol"], swiftSettings: strict),
        .target(name: "APIServer", dependencies: ["Identity", "Network", "Resources", "Storage"], swiftSettings: strict),
        .target(name: "KubernetesClient", dependencies: ["Network", "Resources"], swiftSettings: strict),
        .target(name: "Reconciliation", dependencies: ["Resources"], swiftSettings: strict),
        // Tested from within, as NodeAgent: how a plan comes about is no other room's business.
        .target(
            name: "Controllers", dependencies: ["Learning", "Reconciliation", "Resources"],
            swiftSettings: strict + [.unsafeFlags(["-enable-testing"])]),
        .target(name: "HubProtocol", dependencies: ["Resources"], swiftSettings: strict),
        .target(name: "CloudHub", dependencies: ["HubProtocol", "Resources"], swiftSettings: strict),
        .target(name: "CProcess"),
        // Tested from within: what it decides and writes down is no other room's business.
        .target(
            name: "NodeAgent", dependencies: ["CProcess", "Reconciliation", "Resources", "Storage"],
            swiftSettings: strict + [.unsafeFlags(["-enable-testing"])]),
        .target(name: "Storage", dependencies: ["CSQLite", "CZlib", crypto], swiftSettings: strict),
        .target(name: "EdgeHub", dependencies: ["HubProtocol", "Resources", "Storage", crypto], swiftSettings: strict),
        .target(
            name: "EdgeAccess", dependencies: ["Identity", "Network", "Reconciliation", "Resources", "Storage"], swiftSettings: strict),
        .target(name: "Learning", dependencies: [crypto], swiftSettings: strict),
        .target(name: "KnowledgeBase", dependencies: ["Storage"], swiftSettings: strict),
        .target(name: "Training", dependencies: ["Learning"], swiftSettings: strict),
        .target(name: "COnnxRuntime"),
        .target(name: "CVectors"),
        .target(name: "Inference", dependencies: ["COnnxRuntime", "CVectors", "Learning"], swiftSettings: strict),
        .target(name: "CEpoll"),
        .target(name: "CFutex"),
        .target(name: "Permits", dependencies: ["CFutex"], swiftSettings: strict),
        .target(name: "Serving", dependencies: ["CEpoll", "Inference", "Resources"], swiftSettings: strict),
        .target(name: "ThermalComfort", dependencies: ["Learning", crypto], swiftSettings: strict),
        .target(
            name: "Workers",
            dependencies: [
                "Inference", "KnowledgeBase", "Learning", "Network", "Permits", "Resources", "Serving", "Storage", "ThermalComfort",
                "Training",
            ],
            swiftSettings: strict),
        .target(
            name: "Demo",
            dependencies: [
                "CProcess", "Inference", "KnowledgeBase", "KubernetesClient", "Learning", "Network", "Resources", "Storage",
                "ThermalComfort",
                "Training", "Workers", crypto,
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "skerry",
            dependencies: [
                "APIServer", "CloudHub", "Controllers", "EdgeAccess", "EdgeHub", "HubProtocol", "Identity", "KubernetesClient", "Network",
                "NodeAgent", "Permits", "Reconciliation", "Resources",
                "Demo", "Inference", "KnowledgeBase", "Learning", "Serving", "Storage", "ThermalComfort", "Training", "Workers", crypto,
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        .testTarget(name: "ResourcesTests", dependencies: ["Resources"], swiftSettings: strict),
        .testTarget(name: "IdentityTests", dependencies: x509 + ["Identity", crypto], swiftSettings: strict),
        .testTarget(name: "NetworkTests", dependencies: nio + ["Identity", "Network", "TestKit"], swiftSettings: strict),
        .testTarget(
            name: "APIServerTests",
            dependencies: ["APIServer", "Controllers", "Identity", "Network", "Reconciliation", "Resources", "Storage", "TestKit"],
            exclude: ["authorization-matrix.txt"], swiftSettings: strict),
        .testTarget(
            name: "KubernetesClientTests",
            dependencies: [
                "APIServer", "Controllers", "Identity", "KubernetesClient", "Network", "Reconciliation", "Resources", "Storage",
            ],
            swiftSettings: strict),
        .testTarget(
            name: "EdgeAccessTests",
            dependencies: ["APIServer", "EdgeAccess", "Identity", "Network", "Resources", "Storage", "TestKit"], swiftSettings: strict),
        .target(name: "TestKit", dependencies: ["Learning", "Reconciliation", "Resources"], path: "Tests/TestKit", swiftSettings: strict),
        .testTarget(
            name: "ReconciliationTests", dependencies: ["Learning", "Reconciliation", "Resources", "TestKit"], swiftSettings: strict),
        .testTarget(
            name: "ControllersTests", dependencies: ["Controllers", "Learning", "Reconciliation", "Resources", "TestKit"],
            swiftSettings: strict),
        .testTarget(
            name: "CloudHubTests",
            dependencies: ["APIServer", "CloudHub", "EdgeHub", "HubProtocol", "Identity", "Network", "Resources", "Storage"],
            swiftSettings: strict),
        .testTarget(name: "HubProtocolTests", dependencies: ["HubProtocol", "Learning", "Resources"], swiftSettings: strict),
        .testTarget(
            name: "SimulationTests", dependencies: ["CloudHub", "HubProtocol", "Learning", "Resources", "TestKit"], swiftSettings: strict),
        .testTarget(
            name: "NodeAgentTests",
            dependencies: [
                "APIServer", "Identity", "Learning", "NodeAgent", "Network", "Reconciliation", "Resources", "Storage", "TestKit", "skerry",
            ],
            swiftSettings: strict),
        .testTarget(name: "StorageTests", dependencies: ["CSQLite", "Storage", "TestKit"], swiftSettings: strict),
        .testTarget(
            name: "FuzzTests", dependencies: ["APIServer", "HubProtocol", "Identity", "Network", "Resources", "Storage", "TestKit"],
            exclude: ["Corpus"],
            swiftSettings: strict),
        .testTarget(
            name: "KnowledgeBaseTests", dependencies: ["KnowledgeBase", "Storage", "TestKit"], exclude: ["Fixtures"], swiftSettings: strict),
        .testTarget(name: "LearningTests", dependencies: ["Learning"], swiftSettings: strict),
        .testTarget(name: "TrainingTests", dependencies: ["Learning", "TestKit", "Training"], swiftSettings: strict),
        .testTarget(
            name: "InferenceTests", dependencies: ["Inference", "Learning", "Storage", "TestKit", "ThermalComfort", "Training"],
            swiftSettings: strict),
        .testTarget(
            name: "ServingTests", dependencies: ["Inference", "Learning", "Resources", "Serving", "TestKit", "Training"],
            swiftSettings: strict),
        .testTarget(
            name: "WorkersTests",
            dependencies: [
                "Inference", "KnowledgeBase", "Learning", "Network", "Permits", "Resources", "Storage", "TestKit", "ThermalComfort",
                "Training", "Workers",
            ], exclude: ["small-networks.py", "triton-client.py"], swiftSettings: strict),
        .testTarget(name: "PermitsTests", dependencies: ["Permits", "TestKit"], swiftSettings: strict),
        .testTarget(
            name: "ThermalComfortTests", dependencies: ["Learning", "Storage", "ThermalComfort", "Training"], swiftSettings: strict),
        .testTarget(
            name: "DemoTests", dependencies: ["Demo", "KnowledgeBase", "Learning", "Storage", "TestKit", "ThermalComfort", "Workers"],
            swiftSettings: strict),
        .testTarget(
            name: "EndToEndTests",
            dependencies: ["KnowledgeBase", "KubernetesClient", "Network", "Resources", "Storage", "TestKit", "skerry"],
            exclude: ["kubectl-matrix.txt", "python-client.py"],
            swiftSettings: strict),
        .testTarget(name: "HouseRulesTests", swiftSettings: strict),
    ]
)
